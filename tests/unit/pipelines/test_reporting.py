from __future__ import annotations

import base64
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from svops_plugin.pipelines import plots
from svops_plugin.pipelines.errors import ConfigurationError, DataError, StateError
from svops_plugin.pipelines.steps import run_step

SMALL = {"test_size": 0.25, "cv_folds": 2, "min_accuracy": 0}
DAG = "simple_workflow_example"


class Page(HTMLParser):
    """The elements, attributes and text of an HTML page, and the cells of its tables by their class."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.tables: dict[str | None, list[list[str]]] = {}
        self._rows: list[list[str]] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attrs).get("class"), [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in {"td", "th"}:
            self._rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        self._in_cell = self._in_cell and tag not in {"td", "th"}

    def handle_data(self, data):
        self.text += data
        if self._in_cell:
            self._rows[-1][-1] += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key) == value for key, value in attributes.items())
        ]


@pytest.fixture
def confused(tiny):
    """A dataset whose labels have nothing to do with its data, so that the model errs."""

    def make(data_type: str, names=("a", "b")):
        dataset = tiny(data_type)
        labels = dataset.labels()
        dataset.write_labels([(s, names[index % len(names)]) for index, (s, _) in enumerate(labels)])
        return dataset

    return make


def page_of(run) -> Page:
    return Page((run.output / "report.html").read_text(encoding="utf-8"))


def test_the_report_tells_figures_and_provenance(confused, make_run, chain):
    run = make_run(confused("Jetson"), conf=SMALL, note="after cleaning", parameters={"lens": "wide"})
    result = chain(run)
    text = page_of(run).text
    evaluation = json.loads((run.output / "metrics.json").read_text())["evaluation"]
    for expected in (
        "Night shift",
        "ACME",
        "main",
        "3f2a9c1",
        "test-config-e2e",
        "C = 10.0, kernel = rbf, gamma = scale",
        result["fingerprint"],
        "after cleaning",
        "lens = wide",
        f"{evaluation['accuracy']:.1%}",
        f"{evaluation['errors']}",
        "60 of 60 found",
    ):
        assert expected in text


def test_the_report_has_the_matrix_and_each_class(confused, make_run, chain):
    run = make_run(confused("Vector", names=("a", "b", "c")), conf=SMALL)
    chain(run)
    evaluation = json.loads((run.output / "metrics.json").read_text())["evaluation"]
    tables = page_of(run).tables
    labels = ["a", "b", "c"]
    assert [one["label"] for one in evaluation["classes"]] == labels
    assert sum(map(sum, evaluation["confusion_matrix"])) == evaluation["errors"] + sum(
        evaluation["confusion_matrix"][index][index] for index in range(3)
    )
    assert tables["matrix"][0][1:] == labels
    assert tables["matrix"][1:] == [
        [label, *map(str, row)] for label, row in zip(labels, evaluation["confusion_matrix"], strict=True)
    ]
    by_class = [row for row in tables["rows"] if row[0] in labels and len(row) == 6]
    assert by_class == [
        [
            one["label"],
            *(f"{one[measure]:.3f}" for measure in ("precision", "recall", "f1")),
            "",
            str(one["support"]),
        ]
        for one in evaluation["classes"]
    ]


@pytest.mark.parametrize("data_type", ["Vector", "Surf", "Jetson"])
def test_misclassified_samples_are_shown_as_pictures(confused, make_run, chain, data_type):
    run = make_run(confused(data_type), conf=SMALL)
    chain(run)
    errors = json.loads((run.work / "evaluation.json").read_text())["errors"]
    pictures = [one for one in page_of(run).all("img") if one["alt"].startswith("sample digit-")]
    wrong = [one for one in pictures if re.fullmatch(r".*, (.), taken for (?!\1).", one["alt"])]
    assert 0 < len(wrong) == errors
    for one in pictures:
        kind, content = one["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(content))).verify()


def test_errors_come_first_those_in_which_the_model_was_certain(confused, make_run, chain):
    run = make_run(confused("Vector"), conf=SMALL)
    chain(run)
    with np.load(run.work / "predictions.npz") as made:
        certainty = dict(zip(made["samples"].tolist(), made["certainty"].tolist(), strict=True))
    gallery = json.loads((run.work / "gallery.json").read_text())
    shown = [certainty[one["sample"]] for one in gallery["errors"]]
    assert shown == sorted(shown, reverse=True)
    assert all(one["label"] != one["predicted"] for one in gallery["errors"])
    close = [certainty[one["sample"]] for one in gallery["close_calls"]]
    assert close == sorted(close)
    assert all(one["label"] == one["predicted"] for one in gallery["close_calls"])


def test_a_report_without_errors_says_so(tiny, make_run, chain):
    dataset = tiny("Vector")
    labels = dataset.labels()
    dataset.write_labels(
        [(sample, "zero" if label == "0" else "one") for sample, label in labels if label in "01"]
    )
    table = dataset.path / "digits.csv"
    kept = {sample for sample, label in labels if label in "01"}
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *(line for line in lines[1:] if line.split(",")[0] in kept)]))
    run = make_run(dataset, conf=SMALL)
    assert chain(run)["metrics"]["accuracy"] == 1
    assert "every held-out sample was recognised" in page_of(run).text


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "$\\frac{1}{$",
)


def hostile_dataset(folder: Path, sample: str, label: str):
    folder.mkdir()
    rng = np.random.RandomState(0)
    names = [f"{sample}{number}" for number in range(40)]
    with (folder / "table.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["sample", "<b>x</b>"], *([name, rng.rand()] for name in names)])
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [["sample", "label"], *([name, label if index % 2 else "b"] for index, name in enumerate(names))]
        )


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_comes_from_outside_is_inert(tiny, make_run, chain, tmp_path, text):
    hostile_dataset(tmp_path / "hostile", text, text)
    dataset = tiny("Vector")
    dataset.path, dataset.gt_path = tmp_path / "hostile", tmp_path / "hostile" / "labels.csv"
    run = make_run(
        dataset,
        conf=SMALL,
        ini={"report": {"title": text}},
        task_name=text,
        customer=text,
        note=text,
        parameters={text: text},
        video_output=str(tmp_path / "video"),
    )
    chain(run)
    page = page_of(run)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "link", "form", "base", "a"}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "href")]
        if tag == "img":
            assert attributes["src"].startswith("data:image/")
    assert page.text.count(text) >= 6
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", (run.output / "report.html").read_text())
    for plot in (run.output / "plots").iterdir():
        assert not {tag for tag, _ in Page(plot.read_text()).elements} & {"script", "img"}


def test_nothing_runs_in_a_browser(tiny, make_run, chain, tmp_path):
    text = """"><img src=x onerror="window.ran='img'"><script>window.ran='script'</script>"""
    hostile_dataset(tmp_path / "hostile", text, text)
    dataset = tiny("Vector")
    dataset.path, dataset.gt_path = tmp_path / "hostile", tmp_path / "hostile" / "labels.csv"
    run = make_run(dataset, conf=SMALL, ini={"report": {"title": text}}, task_name=text, note=text)
    chain(run)
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda request: complaints.append(request.url[:80]))
        page.goto((run.output / "report.html").as_uri())
        assert text in page.inner_text("h1")
        assert page.locator("h1, td", has_text="window.ran").count() > 1
        assert page.evaluate("window.ran") is None
        browser.close()
    assert [one for one in complaints if not one.startswith(("data:", "file:"))] == []


def test_the_page_may_run_and_load_nothing(tiny, make_run, chain):
    run = make_run(tiny("Vector"), conf=SMALL)
    chain(run)
    (policy,) = page_of(run).all("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.split(" ", 1) for rule in policy["content"].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules["style-src"].startswith("'sha256-")
    text = (run.output / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)
    assert "@import" not in text
    assert "url(" not in re.sub(r"base64,[\w+/=]+", "", text)


# The INI file


def test_the_ini_file_is_written_and_read(confused, make_run, chain, tmp_path):
    ini = {
        "report": {"title": "Line 4 at night", "max_pictures": 2},
        "video": {"frame_ms": 120, "max_frames": 5},
        "Own": {"Anything": "100 % kept"},
    }
    run = make_run(confused("Vector"), conf=SMALL, ini=ini, video_output=str(tmp_path / "video"))
    result = chain(run)
    text = (run.output / "build_config.ini").read_text()
    assert "[Own]\nAnything = 100 % kept" in text
    page = page_of(run)
    assert "Line 4 at night" in page.text
    assert len(json.loads((run.work / "gallery.json").read_text())["errors"]) == 2
    with Image.open(result["video"]) as video:
        assert video.n_frames == 5
        video.seek(1)
        video.load()
        assert video.info["duration"] == 120


def test_an_ini_file_that_was_edited_into_nonsense_is_named(tiny, make_run, chain):
    run = make_run(tiny("Vector"), conf=SMALL, ini={"video": {"frame_ms": 100}})
    chain(run, until="validate_data")
    (run.output / "build_config.ini").write_text("[video]\nframe_ms = soon\n")
    with pytest.raises(ConfigurationError, match=r"video.frame_ms: must be a whole number"):
        run_step(DAG, "process_data", run)
    (run.output / "build_config.ini").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        run_step(DAG, "process_data", run)


def test_without_sections_there_is_no_ini_file(tiny, make_run, chain):
    run = make_run(tiny("Vector"), conf=SMALL)
    chain(run)
    assert not list(run.output.glob("*.ini"))


# The animation


def test_the_animation_shows_errors_first(confused, make_run, chain, tmp_path):
    run = make_run(confused("Jetson"), conf=SMALL, video_output=str(tmp_path / "video"))
    result = chain(run)
    assert Path(result["video"]) == tmp_path / "video" / "task_3_attempt_2.webp"
    evaluation = json.loads((run.work / "evaluation.json").read_text())
    with Image.open(result["video"]) as video:
        assert video.n_frames == evaluation["samples"]
        bars = []
        for number in range(video.n_frames):
            video.seek(number)
            red, green, _ = video.convert("RGB").getpixel((1, video.height - 2))
            bars.append(red > green)
    assert bars == [True] * evaluation["errors"] + [False] * (evaluation["samples"] - evaluation["errors"])


def test_without_a_video_folder_there_is_no_animation(tiny, make_run, chain):
    run = make_run(tiny("Jetson"), conf=SMALL)
    assert chain(run)["video"] is None
    assert not list(run.output.rglob("*.webp"))


# State that does not belong together


def test_predictions_of_another_split_are_not_reported(tiny, make_run, chain):
    dataset = tiny("Vector")
    run = make_run(dataset, conf=SMALL)
    chain(run, until="save_model_artifacts")
    other = make_run(dataset, conf={**SMALL, "seed": 99})
    chain(other, until="load_data")
    with pytest.raises(StateError, match="other samples than those held out"):
        run_step(DAG, "validate_data", run)


def test_an_evaluation_of_other_predictions_is_not_reported(tiny, make_run, chain):
    run = make_run(tiny("Vector"), conf=SMALL)
    chain(run, until="save_model_artifacts")
    path = run.work / "evaluation.json"
    evaluation = json.loads(path.read_text())
    path.write_text(json.dumps({**evaluation, "errors": evaluation["errors"] + 1}))
    with pytest.raises(StateError, match="does not count these predictions"):
        run_step(DAG, "validate_data", run)


def test_data_that_vanish_before_the_report_are_named(confused, make_run, chain):
    dataset = confused("Jetson")
    run = make_run(dataset, conf=SMALL)
    chain(run, until="validate_data")
    for path in dataset.path.glob("digit-00[1-5]*.png"):
        path.unlink()
    with pytest.raises(DataError, match="is no longer there"):
        run_step(DAG, "process_data", run)


# Many classes


def test_plots_stand_many_classes_and_one_feature():
    labels = np.array([f"class {number % 70}" for number in range(210)])
    balance = {str(label): {"train": 2, "test": 1} for label in labels}
    bars = Page(plots.class_balance(balance).decode())
    assert len(re.findall(r"class \d+", bars.text)) == plots.MAX_BARS
    points = Page(plots.projection(np.arange(210.0)[:, None], labels, 1).decode())
    assert sum("fill-opacity: 0.8" in (point["style"] or "") for point in points.all("use")) == len(labels)
    assert "class " not in points.text, "a legend of 70 lines"


def test_a_chain_of_many_classes_has_a_report(tiny, make_run, chain, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    names = [f"s{number:03d}" for number in range(450)]
    np.savez(folder / "t.npz", sample=np.array(names), features=np.arange(450.0)[:, None] // 9)
    dataset = tiny("Vector")
    dataset.path, dataset.gt_path = folder, folder / "labels.csv"
    dataset.write_labels([(name, f"class {number // 9}") for number, name in enumerate(names)])
    run = make_run(dataset, conf={**SMALL, "max_samples": None, "estimator": "random_forest"})
    chain(run)
    page = page_of(run)
    assert "With 50 classes the matrix is too large to show" in page.text
    assert not page.all("table", **{"class": "matrix"})
