"use strict";

const page = document.currentScript.dataset;

Redoc.init(page.spec, { disableSearch: true, hideDownloadButton: false }, document.getElementById("api"));
