"""Run ``check_config.py`` on every stock config of the installed MMDetection, and keep what it finds."""

import contextlib
import io
import json
import os
import runpy
import sys
import time
from datetime import date

from howto.checkout.family import api, load
from howto.project import files, stacks
from howto.project.errors import HowtoError
from howto.project.howtos import by_topic, one_spelling
from howto.project.quiet import quiet
from howto.project.record import installed_versions, write_json

RESULTS = files.DOCS / "results" / "check_config.json"
BUILDING = ("levels", "sizes", "weights")  # checks that build the detector
FALSE_ALARMS = 0.01  # of the configs, at most

# What it finds that is a fault of the stock config, by the config's path without its ending, and why.
FAULTS = {
    "objects365/retinanet_r50_fpn_syncbn_1350k_obj365v1": "it changes bbox_head of a Faster R-CNN, which has none",
    "openimages/ssd300_32x8_36e_openimages": "LoadAnnotations has denorm_bbox, not normed_bbox: TypeError",
    "bytetrack/bytetrack_yolox_x_8x4_80e_crowdhuman_mot20train_test_mot20test": "it is MOTChallengeMetric",
    "bytetrack/bytetrack_yolox_x_8x4_amp_80e_crowdhuman_mot20train_test_mot20test": "it is MOTChallengeMetric",
    "cascade_rpn/cascade_rpn_r50_caffe_fpn_1x_coco": "sampling is an argument of 2.x",
    "crowddet/crowddet_rcnn_r50_fpn_8x2_30e_crowdhuman": "torchvision's weights see blue for red",
    "crowddet/crowddet_rcnn_refine_r50_fpn_8x2_30e_crowdhuman": "torchvision's weights see blue for red",
    "faster_rcnn/faster_rcnn_r101_caffe_fpn_ms_3x_coco": "data_preprocessor stays that of the ResNet-50",
    "guided_anchoring/ga_fast_rcnn_r50_caffe_fpn_1x_coco": "data and optimizer_config are keys of 2.x",
    "pascal_voc/faster_rcnn_r50_fpn_1x_voc0712_cocofmt": "eval_mode is an argument of VOCMetric: TypeError",
    "reid/reid_r50_8x32_6e_mot20train80_test_mot20val20": "it is never evaluated",
    "simple_copy_paste/mask_rcnn_r50_fpn_rpn_2conv_4conv1fc_syncbn_all_32x2_ssj_90k_coco": "it trains 270,000",
    "simple_copy_paste/mask_rcnn_r50_fpn_rpn_2conv_4conv1fc_syncbn_all_32x2_ssj_scp_90k_coco": "it trains 270,000",
    "v3det/fcos_swinb_fpn_8x4_sample1e_3_mstrain_v3det_2x": "FPN has no force_grad_on_level",
}


def check_stock() -> dict:
    """What the script finds in the stock configs, each for as many GPUs as its rate is for.

    There is no data, and nothing is trained. Of each folder the first detector is built.
    """
    with quiet():
        package, _ = api().detectors()
        script = by_topic(stacks.current(), "check_config").snippet("check_config.py")
        sys.path.insert(0, str(script.parent))
        check = runpy.run_path(str(script))["check"]
    configs = package / "configs"
    os.chdir(package)
    findings, checked, built, unread, started = [], 0, set(), [], time.perf_counter()
    for path in sorted(configs.glob("*/*.py")):
        name = str(path.relative_to(configs))
        try:
            with quiet(), contextlib.redirect_stdout(io.StringIO()):
                cfg = load(path)
                if "model" not in cfg or not {"data", "train_dataloader"} & set(cfg):
                    continue  # a part of others
                skip = ["step", "items", *(BUILDING if path.parent in built else ())]
                report = list(check(cfg, gpus=gpus(cfg), skip=skip))
        except Exception as error:
            unread.append(f"{name}: {type(error).__name__}")
            continue
        checked += 1
        built.add(path.parent)
        for kind, found in report:
            for each in found:
                if each.mark == "✗":
                    why = FAULTS.get(one_spelling(name.removesuffix(".py")), "")
                    findings.append({"config": name, "check": kind, "what": each.what, "fault": why})
                    print(f"{name}: {kind}: {each.what}", file=sys.stderr, flush=True)
    return {
        "date": str(date.today()),
        "versions": installed_versions(),
        "configs": checked,
        "built": len(built),
        "seconds": round(time.perf_counter() - started),
        "unread": unread,
        "findings": findings,
    }


def gpus(cfg) -> int | None:
    """The number of GPUs that a stock config's rate is for."""
    base = (cfg.get("auto_scale_lr") or {}).get("base_batch_size")
    try:
        return max(1, base // api().images(cfg)) if base else None
    except (AttributeError, KeyError):  # it trains nothing
        return None


def main() -> None:
    """Keep what is found in this stack beside that of the others.

    Raises:
        HowtoError: If too many findings are not known to be a fault of their config.
    """
    kept = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    found = kept[stacks.current().name] = check_stock()
    write_json(RESULTS, kept)
    alarms = {each["config"] for each in found["findings"] if not each["fault"]}
    print(f"{found['configs']} configs, {len(found['findings'])} findings, {len(alarms)} configs with a false alarm")
    if len(alarms) > FALSE_ALARMS * found["configs"]:
        raise HowtoError(f"false alarms in {', '.join(sorted(alarms))}; correct the check, or add it to FAULTS")


if __name__ == "__main__":
    main()
