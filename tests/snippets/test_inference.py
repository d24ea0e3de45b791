"""The script that detects objects in a folder, with what its page does not try: foreign folders, and being stopped."""

import json
import re
import shutil

import pytest
import torch
from PIL import Image

from howto.checkout.family import api
from howto.project import howtos, stacks
from howto.project.errors import HowtoError

COUNTING = """\
import runpy
from mmdet.apis import DetInferencer

call = DetInferencer.__call__

def counted(*args, **keys):
    results = call(*args, **keys)
    print('drawings kept:', len(results['visualization']))
    return results

DetInferencer.__call__ = counted
runpy.run_path(SCRIPT, run_name='__main__')
"""


@pytest.fixture(scope="module")
def script(checkout, resnet18):
    """The script, which keeps two images at a time and any box, beside a detector of random weights, 80 classes."""
    cfg = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py", **resnet18)
    _, resize, *_ = api().split(cfg, "test").pipeline
    resize[api().SCALES[0]] = (128, 77)
    test_cfg = cfg.model.test_cfg
    test_cfg.rcnn.score_thr, test_cfg.rcnn.max_per_img, test_cfg.rpn.max_per_img = 0.0, 5, 20
    cfg.dump(str(checkout.root / "configs/inference/random.py"))
    torch.save({"state_dict": checkout.build(cfg).state_dict()}, checkout.root / "random.pth")
    low = checkout.edit("detect_folder.py", {"SCORE = 0.3": "SCORE = 0.001", "BATCH = 4": "BATCH = 2"})
    return f"configs/inference/{low}"


@pytest.fixture
def photos(checkout):
    """A folder of three photographs, one of them in a subfolder."""
    folder = checkout.root / "photos"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "vis").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "vis/a.jpg"):
        shutil.copy(checkout.photograph(), folder / name)
    return folder


@pytest.fixture
def call(checkout, script):
    """What the script, or another program, prints about a folder."""

    def run(folder, out, program=script):
        return checkout.shell(f"python {program} configs/inference/random.py random.pth {folder} {out}")

    return run


def test_other_formats_are_taken_or_counted_and_what_cannot_be_read_is_named_and_nothing_is_written_over(
    checkout, photos, call
):
    image = Image.open(checkout.photograph())
    kinds = ["Bild ä 日.JPG", "c.bmp", "d.tif", "e.tiff", "f.webp"]
    for name in (*kinds, "g.gif"):
        image.save(photos / name)
    for name in ("notes.txt", "README", "b0.png"):
        (photos / name).touch()
    (photos / "aa.jpg").write_bytes(b"not an image")
    (photos / "gone.jpg").symlink_to("nowhere")
    (photos / ".hidden").mkdir()
    shutil.copy(checkout.photograph(), photos / ".hidden")
    printed = call("photos", "found")
    found = json.loads((checkout.root / "found/detections.json").read_text("utf-8"))
    names = {image["file_name"] for image in found["images"]}
    assert names == {"a.jpg", "b.jpg", "vis/a.jpg", *kinds}
    assert len(found["categories"]) == 80
    drawings = {path for path in (checkout.root / "found/vis").rglob("*") if path.is_file()}
    assert drawings == {checkout.root / "found/vis" / name for name in names}
    unread = [f"{name} cannot be read" for name in ("aa.jpg", "b0.png", "gone.jpg")]
    for line in ("1 x .gif", "1 x .txt", "1 x no suffix", *unread):
        assert f"left out: {line}" in printed
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    for out, said in {
        "photos/found": "name a (new )?folder",
        ".": "name a (new )?folder",
        "found": "is not empty",
    }.items():
        with pytest.raises(HowtoError, match=said) as failure:
            call("photos", out)
        assert "Traceback" not in str(failure.value)
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == before


def test_a_folder_without_images_is_an_error_in_one_line(checkout, call):
    (checkout.root / "nothing").mkdir()
    for folder, said in {"nothing": r"nothing has no file in \.bmp ", "missing": "missing is not a folder"}.items():
        with pytest.raises(HowtoError, match=said) as failure:
            call(folder, "unused")
        assert "Traceback" not in str(failure.value)
    assert not (checkout.root / "unused").exists()


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("stop", "said"),
    [("assert number < 3, 'no memory'", "no memory"), ("number < 3 or signal.raise_signal(15)", "told to stop")],
    ids=["an error", "Slurm"],
)
def test_what_was_done_is_kept_when_something_stops_it(checkout, script, call, stop, said):
    added = "number = len(coco['images']) + 1\n"
    whole = (checkout.root / script).read_text("utf-8")
    assert whole.count(added) == 1
    stopping = whole.replace(added, f"{added}            {stop}\n")
    (checkout.root / "stopping.py").write_text(stopping, "utf-8")
    out = f"stopped {said}".replace(" ", "_")
    with pytest.raises(HowtoError, match=said):
        call("photos", out, "stopping.py")
    found = json.loads((checkout.root / out / "detections.json").read_text("utf-8"))
    assert [image["file_name"] for image in found["images"]] == ["a.jpg", "b.jpg"]
    assert {each["image_id"] for each in found["annotations"]} == {1, 2}


@pytest.mark.skipif(stacks.current().family == "mmdet2", reason="has no DetInferencer")
@pytest.mark.usefixtures("photos")
def test_no_drawing_stays_in_memory(checkout, script, call):
    (checkout.root / "counting.py").write_text(COUNTING.replace("SCRIPT", repr(script)), "utf-8")
    printed = call("photos", "counted", "counting.py")
    assert printed.count("drawings kept: 0\n") == printed.count("drawings kept") == 2


@pytest.mark.usefixtures("photos")
def test_a_config_or_checkpoint_that_is_missing_is_an_error_in_one_line(checkout, script):
    for files in ("nowhere.py random.pth", "configs/inference/random.py nowhere.pth"):
        said = checkout.shell(f"python {script} {files} photos unused", succeeds=False)
        assert "is not a file" in said.splitlines()[-1] and "Traceback" not in said
    assert not (checkout.root / "unused").exists()


@pytest.mark.usefixtures("photos")
def test_the_lines_that_the_page_has_for_a_checkpoint_without_names_set_them(checkout, script, call, request):
    page = " ".join(howtos.by_topic(stacks.current(), checkout.topic).text.replace("\n# ", " ").split())
    lines = re.findall(r"``((?:model|detect)\.[\w.]+ = [^`]+)``", page)
    assert len(lines) == {"mmdet2": 1, "mmdet3": 2}[stacks.current().family]
    added = "\n".join(lines).replace("('kitten', 'mug')", "tuple(map(str, range(80)))")
    path = checkout.root / script
    before = path.read_text("utf-8")
    request.addfinalizer(lambda: path.write_text(before, "utf-8"))
    path.write_text(re.sub(r"(?m)^(model|detect) = .*$", lambda made: f"{made[0]}\n{added}", before), "utf-8")
    call("photos", "named")
    found = json.loads((checkout.root / "named/detections.json").read_text("utf-8"))
    assert [each["name"] for each in found["categories"]] == list(map(str, range(80)))
