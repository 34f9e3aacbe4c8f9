"""Every object fits the schema of the oldest and of the newest Kubernetes, with nothing unknown in it."""

import functools
import json

import kubernetes_validate
import pytest
from kubernetes_validate import utils
from manifests import label, rendered, roots

# Operators bring their own schemas, which are not here.
OPERATORS = ("keda.sh", "monitoring.coreos.com", "postgresql.cnpg.io")

utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)


def distinct_objects():
    found = {}
    for root in roots():
        for thing in rendered(root):
            if not thing["apiVersion"].startswith(OPERATORS):
                found.setdefault(json.dumps(thing, sort_keys=True), (root, thing))
    return list(found.values())


@pytest.mark.parametrize("version", ["1.28", kubernetes_validate.latest_version()])
def test_objects_fit_the_schema(version):
    problems = []
    for root, thing in distinct_objects():
        try:
            used = kubernetes_validate.validate(thing, version, strict=True)
        except (utils.ValidationError, utils.SchemaNotFoundError) as error:
            problems.append(f"{root}: {label(thing)}: {error.message}")
        else:
            assert used == utils.major_minor(version), f"checked against {used} instead"
    assert not problems, "\n".join(problems)


def test_the_newest_schema_is_new_enough():
    assert utils.major_minor(kubernetes_validate.latest_version()) >= "1.37"
