_base_ = '../faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

val_evaluator = dict(
    # A table of every class's AP in the log.
    classwise=True,
    # All boxes of the last evaluation, in val.bbox.json there.
    outfile_prefix='work_dirs/faster-rcnn_r50_fpn_1x_classwise_coco/val')
test_evaluator = val_evaluator
