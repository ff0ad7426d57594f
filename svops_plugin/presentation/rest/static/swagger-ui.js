"use strict";

const page = document.currentScript.dataset;

SwaggerUIBundle({
  url: page.spec,
  dom_id: "#api",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
