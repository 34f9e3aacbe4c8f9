"""A copy of the kustomizations to change."""

import shutil

import rules
import sources
from manifests import KUSTOMIZE, Unrenderable, load, render_text


class Copy:
    def __init__(self, directory):
        self.path = directory / "kustomize"
        for part in ("base", "components", "overlays", "tests"):
            shutil.copytree(KUSTOMIZE / part, self.path / part)

    def change(self, file, old, new):
        """Replaces the first `old`, which must be there: a change that does nothing would prove nothing."""
        path = self.path / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r} any more"
        path.write_text(text.replace(old, new, 1))

    def objects(self, root):
        return load(render_text(self.path / root))

    def problems(self, root):
        """What the checks say about a root."""
        try:
            objects = self.objects(root)
        except Unrenderable as error:
            return [f"unrenderable: {error}"]
        return sources.problems((self.path / root).resolve()) + rules.problems(objects)
