"""Looks at the kustomization files themselves, for mistakes that kustomize passes over in silence: a patch whose target is not there,
an image name that nothing uses, a ConfigMap or Secret that is merged and has no base."""

import re

import yaml

KINDS = ("Kustomization", "Component")


def kustomization(directory):
    return yaml.safe_load((directory / "kustomization.yaml").read_text())


def closure(directory, seen=None):
    """Directories in the order in which kustomize reads them: what a root builds on, then itself."""
    seen = [] if seen is None else seen
    content = kustomization(directory)
    for entry in (content.get("resources") or []) + (content.get("components") or []):
        path = (directory / entry).resolve()
        if path.is_dir() and path not in seen:
            closure(path, seen)
    seen.append(directory)
    return seen


def own_objects(directory):
    """What a directory adds itself, before any patch."""
    content = kustomization(directory)
    for entry in content.get("resources") or []:
        path = (directory / entry).resolve()
        if path.is_file():
            yield from (document for document in yaml.safe_load_all(path.read_text()) if document)
    for generator, kind in (("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")):
        for entry in content.get(generator) or []:
            if entry.get("behavior", "create") == "create":
                yield {"apiVersion": "v1", "kind": kind, "metadata": {"name": entry["name"], "labels": {}}}


def images_in(thing):
    """Image names without tags, anywhere in an object."""
    if isinstance(thing, dict):
        if isinstance(thing.get("image"), str):
            yield re.sub(r":[^:/]*$", "", thing["image"].split("@")[0])
        for value in thing.values():
            yield from images_in(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from images_in(value)


def selected(target, thing):
    """Whether a patch's target names the object. Kustomize anchors its patterns."""
    metadata = thing["metadata"]
    group = thing["apiVersion"].rpartition("/")[0]
    for key, value in (("kind", thing["kind"]), ("name", metadata["name"]), ("group", group)):
        if key in target and not re.fullmatch(target[key], value):
            return False
    wanted = target.get("labelSelector")
    if not wanted:
        return True
    inside = re.fullmatch(r"(\S+) in \(([^)]*)\)", wanted)
    key, values = inside.groups() if inside else wanted.split("=", 1)
    return metadata.get("labels", {}).get(key) in values.split(",")


def problems(root):
    """Mistakes in the files that a root is made of."""
    there, images, merged_into, bad = [], set(), set(), []
    for directory in closure(root):
        where = f"{directory.parent.name}/{directory.name}"
        content = kustomization(directory)
        for entry in content.get("components") or []:
            if kustomization((directory / entry).resolve()).get("kind") != "Component":
                bad.append(f"silent: {where}: {entry} is no Component")
        if content.get("namespace") != "mini-project":
            bad.append(f"namespace: {where} does not set `namespace: mini-project`")
        if content.get("kind") not in KINDS:
            bad.append(f"silent: {where}: kind {content.get('kind')}")
        for thing in own_objects(directory):
            there.append(thing)
            images.update(images_in(thing))
            if thing["kind"] in ("ConfigMap", "Secret"):
                merged_into.add((thing["kind"], thing["metadata"]["name"]))
        for generator, kind in (("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")):
            for entry in content.get(generator) or []:
                if (kind, entry["name"]) not in merged_into:
                    bad.append(f"silent: {where}: {generator} {entry['name']} merges into nothing")
        for patch in content.get("patches") or []:
            target = patch.get("target")
            if target and not any(selected(target, thing) for thing in there):
                bad.append(f"silent: {where}: no object is the target {target} of a patch")
        for entry in content.get("replacements") or []:
            for target in [entry["source"]] + [target["select"] for target in entry["targets"]]:
                query = {key: target[key] for key in ("kind", "name", "group") if key in target}
                if not any(selected(query, thing) for thing in there):
                    bad.append(f"silent: {where}: no object is {query} of a replacement")
        for entry in content.get("images") or []:
            if entry["name"] not in images and not is_release(directory):
                bad.append(f"silent: {where}: nothing uses the image {entry['name']}")
            images.add(entry.get("newName", entry["name"]))
    return bad


def is_release(directory):
    """image-tags sets the tags of all our images, also where an overlay uses only some: test_release.py checks its names."""
    return directory.name == "image-tags"
