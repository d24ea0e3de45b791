import base64
import io
import re

import numpy as np
from PIL import Image

from howto.figures.pairs import WIDTH, Pairs


def test_both_pictures_of_a_step_are_there_in_their_colours_and_proportions():
    blue = np.zeros((60, 100, 3), np.uint8)
    blue[..., 0] = 255  # BGR
    shown = Pairs({"seed <0>": (blue, blue[:, ::-1])}, names=("before", "after"))._repr_html_()
    pictures = [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r"base64,([^\"]+)", shown)]
    assert [picture.size for picture in pictures] == [(WIDTH, round(WIDTH * 0.6))] * 2
    red, _, in_blue = pictures[0].getpixel((50, 50))
    assert in_blue > 200 > 50 > red
    assert re.findall(r'alt="([^"]+)"', shown) == ["before, seed &lt;0&gt;", "after, seed &lt;0&gt;"]
