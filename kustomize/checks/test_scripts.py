"""Shell scripts: what a linter finds, and what they refuse."""

import os
import subprocess

import pytest
from manifests import HERE, KUSTOMIZE, tool

E2E = KUSTOMIZE / "e2e.sh"


@pytest.mark.parametrize("script", [E2E, HERE / "setup", HERE / "run.sh"], ids=lambda path: path.name)
def test_the_linter_finds_nothing(script):
    done = subprocess.run([tool("shellcheck"), script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert os.access(script, os.X_OK)


def end_to_end(tmp_path, *arguments):
    environment = {"PATH": f"{tool('kubectl').parent}:/usr/bin:/bin", "KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)}
    return subprocess.run([E2E, *arguments], capture_output=True, text=True, env=environment, timeout=60)


def test_without_a_cluster_the_end_to_end_test_says_so(tmp_path):
    done = end_to_end(tmp_path)
    assert done.returncode == 69 and "no cluster answers" in done.stderr, done.stderr


def test_an_unknown_drill_is_refused(tmp_path):
    done = end_to_end(tmp_path, "outrage")
    assert done.returncode == 69 and "no drill is called outrage" in done.stderr


def test_nothing_is_left_in_the_tree():
    assert not list((KUSTOMIZE / "tests").glob(".e2e*"))
