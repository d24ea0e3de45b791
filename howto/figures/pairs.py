"""Show two pictures of each of several steps, so that they can be compared."""

import base64
import html
import io

WIDTH = 448  # pixels


class Pairs:
    """Pictures in pairs, such as before and after. A page steps through them and slides from one to the other.

    Args:
        pairs: For each step, by what it is called, its two pictures: arrays (height, width, 3), BGR, uint8, both of the
            same proportions.
        names: What the first and the second picture of a step show.
    """

    def __init__(self, pairs: dict[str, tuple], names: tuple[str, str]) -> None:
        self.pairs = pairs
        self.names = names

    def __repr__(self) -> str:
        return f"{' and '.join(self.names)}, for {', '.join(self.pairs)}"

    def _repr_html_(self) -> str:
        shown = []
        for step, pictures in self.pairs.items():
            images = "".join(self._image(step, *item) for item in zip(self.names, pictures, strict=True))
            shown.append(f"<figure>{images}<figcaption>{html.escape(step)}</figcaption></figure>")
        return f"<howto-pairs>{''.join(shown)}</howto-pairs>"

    def _image(self, step: str, name: str, picture) -> str:
        from PIL import Image

        height = round(WIDTH * picture.shape[0] / picture.shape[1])
        file = io.BytesIO()
        Image.fromarray(picture[..., ::-1].astype("uint8")).resize((WIDTH, height)).save(file, "WEBP", quality=50)
        data = base64.b64encode(file.getvalue()).decode()
        name, alt = html.escape(name), html.escape(f"{name}, {step}")
        size = f'width="{WIDTH}" height="{height}"'
        return f'<img src="data:image/webp;base64,{data}" {size} alt="{alt}" data-name="{name}">'
