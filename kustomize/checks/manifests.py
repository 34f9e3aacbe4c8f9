"""Renders kustomizations and finds things in what comes out."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
KUSTOMIZE = HERE.parent
PROJECT = KUSTOMIZE.parent
HINT = "run kustomize/checks/setup"
NAMESPACE = "mini-project"
NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"


class Unrenderable(Exception):
    """kubectl refused, or printed a warning."""


def tool(name):
    """A program of the virtual environment. Absent means a failure, never a skipped test."""
    path = Path(sys.executable).parent / name
    assert path.exists(), f"{name} is missing from {path.parent}: {HINT}"
    return path


def roots(kustomize=KUSTOMIZE):
    """What can be applied: `overlays/dev`, `tests/load-test`, .."""
    found = [path.parent for part in ("overlays", "tests") for path in sorted((kustomize / part).glob("*/kustomization.yaml"))]
    return [str(path.relative_to(kustomize)) for path in found]


def render_text(path):
    done = subprocess.run([tool("kubectl"), "kustomize", path], capture_output=True, text=True, timeout=60)
    if done.returncode or done.stderr:
        raise Unrenderable(f"{path}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


@functools.lru_cache(maxsize=None)
def rendered(root):
    """The objects of a root of this project. Do not change them."""
    return load(render_text(KUSTOMIZE / root))


def load(text):
    return [document for document in yaml.safe_load_all(text) if document]


def label(thing):
    """`Deployment/api`"""
    return f"{thing['kind']}/{thing['metadata']['name']}"


def of_kind(objects, *kinds):
    return [thing for thing in objects if thing["kind"] in kinds]


def find(objects, kind, name):
    """The only such object, or None."""
    found = [thing for thing in of_kind(objects, kind) if thing["metadata"]["name"] == name]
    return found[0] if len(found) == 1 else None


class Pods:
    """Pods that an object makes: their labels, and their spec where we write it ourselves (operators write their own)."""

    def __init__(self, owner, labels, spec):
        self.owner, self.labels, self.spec = owner, labels or {}, spec
        self.name = label(owner)

    def containers(self):
        return (self.spec.get("initContainers") or []) + self.spec["containers"]


def pods(objects, operators=False):
    """Every pod template; with `operators` also the pods that CloudNativePG makes."""
    found = []
    for thing in objects:
        kind, spec = thing["kind"], thing.get("spec", {})
        if kind == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"):
            found.append(Pods(thing, spec["template"]["metadata"].get("labels"), spec["template"]["spec"]))
        elif operators and kind == "Cluster":
            found.append(Pods(thing, spec["inheritedMetadata"]["labels"], None))
        elif operators and kind == "Pooler":
            found.append(Pods(thing, spec["template"]["metadata"]["labels"], None))
    return found


def ours(objects):
    """Pod templates that run our images."""
    return [pod for pod in pods(objects) if pod.labels.get(COMPONENT) in ("api", "worker", "maintenance", "load-test")]


def matches(selector, labels):
    """A Kubernetes label selector, as a dict."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or []:
        value, operator = labels.get(rule["key"]), rule["operator"]
        holds = {
            "In": lambda: value in rule["values"],
            "NotIn": lambda: value not in rule["values"],
            "Exists": lambda: value is not None,
            "DoesNotExist": lambda: value is None,
        }[operator]()
        if not holds:
            return False
    return True


def literal_env(container):
    """Variables whose value stands in the manifest."""
    return {entry["name"]: entry["value"] for entry in container.get("env") or [] if "value" in entry}


def settings(objects):
    """The ConfigMap `settings-<hash>`, or None."""
    found = [thing for thing in of_kind(objects, "ConfigMap") if thing["metadata"]["labels"].get(NAME) == "settings"]
    return found[0] if len(found) == 1 else None


def seconds(text):
    """`1h 30m`, `45s`, `7days` in seconds."""
    units = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "day": 86400, "days": 86400}
    parts = re.findall(r"(\d+)\s*([a-z]+)", text)
    assert parts and not re.sub(r"(\d+)\s*([a-z]+)|\s", "", text), f"no duration: {text!r}"
    return sum(int(number) * units[unit] for number, unit in parts)


def documented_variables():
    """The names in the tables of docs/configuration.md."""
    text = (PROJECT / "docs/configuration.md").read_text()
    return set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", text))


def documented_metrics():
    """The names in the tables of docs/metrics.md."""
    return set(re.findall(r"`(taskrow_[a-z_]+)`", (PROJECT / "docs/metrics.md").read_text()))
