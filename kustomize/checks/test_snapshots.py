"""What the two default overlays give, in full: a change of a component shows what it does to them."""

import pytest
from manifests import HERE, KUSTOMIZE, render_text

DEFAULTS = ["postgres-queue", "redis-queue"]


@pytest.mark.parametrize("overlay", DEFAULTS)
def test_default_overlays_are_as_in_the_snapshots(overlay, request):
    snapshot = HERE / "snapshots" / f"{overlay}.yaml"
    text = render_text(KUSTOMIZE / "overlays" / overlay)
    if request.config.getoption("--update-snapshots"):
        snapshot.parent.mkdir(exist_ok=True)
        snapshot.write_text(text)
    assert snapshot.exists() and text == snapshot.read_text(), "kustomize/checks/run.sh --update-snapshots, then read the diff"


def test_there_are_no_other_snapshots():
    assert sorted(path.stem for path in (HERE / "snapshots").iterdir()) == sorted(DEFAULTS)
