_base_ = '../faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py'

evaluation = dict(
    # A table of every class's AP in the log.
    classwise=True,
    # All boxes of the last evaluation, in val.bbox.json there.
    jsonfile_prefix='work_dirs/faster_rcnn_r50_fpn_1x_classwise_coco/val')
