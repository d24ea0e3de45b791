"""The world that a snippet runs in: an MMDetection checkout, data, weights, a device, training. Knows no page."""
