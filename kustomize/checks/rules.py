"""What must hold for everything that is rendered. Each rule takes the objects of one root and yields what is wrong."""

import re
from urllib.parse import urlsplit

from manifests import (COMPONENT, NAME, NAMESPACE, documented_metrics, documented_variables, find, label, literal_env, matches, of_kind,
                       ours, pods, seconds, settings)

RULES = []

# The API versions that 1.28 .. 1.37 have, and those of the operators that components are for.
VERSIONS = {
    "v1", "apps/v1", "batch/v1", "autoscaling/v2", "policy/v1", "networking.k8s.io/v1",
    "keda.sh/v1alpha1", "monitoring.coreos.com/v1", "postgresql.cnpg.io/v1",
}
# What an installation finds or makes itself; docs/operations.md names each.
EXTERNAL_SECRETS = {
    "postgres-auth": {"password", "username"}, "postgres-ca": {"ca.crt"}, "api-tls": set(), "smtp-auth": {"password", "ca.crt"},
    "api-tokens": {"tokens.toml"}, "metrics-token": {"token"}, "load-test-token": {"token"},
    "postgres-api": {"password", "username"}, "postgres-worker": {"password", "username"},
}
IMAGES = {"ghcr.io/your-org/mini-api", "ghcr.io/your-org/mini-worker", "postgres", "redis"}
# What the processes may need after their budgets to write the last things: api/src/api.rs, worker/src/finisher.rs.
API_LAST_WRITES = 5
WORKER_LAST_WRITES = 6


def rule(function):
    RULES.append(function)
    return function


def problems(objects):
    return [f"{check.__name__}: {problem}" for check in RULES for problem in check(objects)]


@rule
def order(objects):
    """The namespace comes first: `kubectl apply` works from the top."""
    if of_kind(objects, "Namespace") and objects[0]["kind"] != "Namespace":
        yield f"the first object is {label(objects[0])}, not the Namespace"


@rule
def unique(objects):
    seen = set()
    for thing in objects:
        if label(thing) in seen:
            yield f"{label(thing)} is there twice"
        seen.add(label(thing))
        if thing["apiVersion"] not in VERSIONS:
            yield f"{label(thing)}: unknown API version {thing['apiVersion']}"


@rule
def namespace(objects):
    for thing in objects:
        if thing["kind"] == "Namespace":
            if thing["metadata"]["name"] != NAMESPACE:
                yield f"{label(thing)} is not {NAMESPACE}"
        elif thing["metadata"].get("namespace") != NAMESPACE:
            yield f"{label(thing)} is in namespace {thing['metadata'].get('namespace')}"


@rule
def labels(objects):
    wanted = {"app.kubernetes.io/part-of": NAMESPACE, "app.kubernetes.io/managed-by": "kubectl"}
    sets = [(label(thing), thing["metadata"].get("labels") or {}) for thing in objects]
    sets += [(f"{pod.name}'s pods", pod.labels) for pod in pods(objects)]
    for whose, have in sets:
        if NAME not in have:
            yield f"{whose}: no {NAME}"
        for key, value in wanted.items():
            if have.get(key) != value:
                yield f"{whose}: {key} is {have.get(key)}, not {value}"
    for pod in pods(objects):
        if pod.labels.get(NAME) != pod.owner["metadata"]["labels"].get(NAME):
            yield f"{pod.name}: its pods have another {NAME}"


@rule
def selectors(objects):
    """A workload selects its own pods by name, and nobody else's."""
    templates = pods(objects, operators=True)
    for pod in pods(objects):
        selector = pod.owner["spec"].get("selector")
        if not selector:
            continue
        if list(selector.get("matchLabels", {})) != [NAME] or selector.get("matchExpressions"):
            yield f"{pod.name}: selects by {selector}, not by {NAME}"
        if not matches(selector, pod.labels):
            yield f"{pod.name}: its selector does not match its own pods"
        for other in templates:
            if other.owner is not pod.owner and matches(selector, other.labels):
                yield f"{pod.name}: its selector matches pods of {other.name}"


@rule
def selections(objects):
    """Services, budgets, policies and monitors select pods that are there."""
    templates = pods(objects, operators=True)
    for thing in of_kind(objects, "Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        spec = thing["spec"]
        if thing["kind"] == "NetworkPolicy":
            selector = spec["podSelector"]
        elif thing["kind"] == "Service":
            selector = {"matchLabels": spec["selector"]}
        else:
            selector = spec["selector"]
        found = [pod for pod in templates if matches(selector, pod.labels)]
        if not found:
            yield f"{label(thing)}: selects no pods: {selector}"
        if thing["kind"] in ("Service", "PodDisruptionBudget") and len(found) > 1:
            yield f"{label(thing)}: selects pods of {', '.join(pod.name for pod in found)}"
        # Roots without the Namespace are applied beside others, which hold the other end.
        for end in ends(spec) if thing["kind"] == "NetworkPolicy" and of_kind(objects, "Namespace") else []:
            if "podSelector" in end and "namespaceSelector" not in end and not any(matches(end["podSelector"], pod.labels) for pod in templates):
                yield f"{label(thing)}: nobody matches {end['podSelector']}"


def ends(policy):
    for direction, key in (("ingress", "from"), ("egress", "to")):
        for entry in policy.get(direction) or []:
            yield from entry.get(key) or []


def ports_of(pod):
    return {port.get("name"): port["containerPort"] for container in pod.containers() for port in container.get("ports") or []}


@rule
def ports(objects):
    """Every port that is named or numbered somewhere is a port of the pods meant."""
    templates = [pod for pod in pods(objects)]
    for pod in templates:
        for container in pod.containers():
            names = {port["name"] for port in container.get("ports") or []}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                spec = container.get(probe) or {}
                port = (spec.get("httpGet") or spec.get("tcpSocket") or {}).get("port")
                if port is not None and port not in names:
                    yield f"{pod.name}: {probe} asks port {port}, which the container does not name"
    for thing in of_kind(objects, "Service"):
        chosen = [pod for pod in templates if matches({"matchLabels": thing["spec"]["selector"]}, pod.labels)]
        for port in thing["spec"]["ports"]:
            if chosen and port["targetPort"] not in set(ports_of(chosen[0])):
                yield f"{label(thing)}: targetPort {port['targetPort']} is no named port of {chosen[0].name}"
    for thing in of_kind(objects, "PodMonitor"):
        for pod in templates:
            for end in thing["spec"]["podMetricsEndpoints"]:
                if matches(thing["spec"]["selector"], pod.labels) and end["port"] not in ports_of(pod):
                    yield f"{label(thing)}: {pod.name} has no port {end['port']}"
    for thing in of_kind(objects, "NetworkPolicy"):
        for entry in thing["spec"].get("ingress") or []:
            for pod in templates:
                have = ports_of(pod)
                for port in entry.get("ports") or []:
                    if matches(thing["spec"]["podSelector"], pod.labels) and port["port"] not in {*have, *have.values()}:
                        yield f"{label(thing)}: {pod.name} has no port {port['port']} (policies name pod ports)"
    for thing in of_kind(objects, "Ingress"):
        for entry in thing["spec"]["rules"]:
            for path in entry["http"]["paths"]:
                backend = path["backend"]["service"]
                service = find(objects, "Service", backend["name"])
                if not service or backend["port"]["name"] not in [port["name"] for port in service["spec"]["ports"]]:
                    yield f"{label(thing)}: no Service with that port: {backend}"


@rule
def references(objects):
    """Every ConfigMap, Secret and claim that is read is there, with the key, or is one that an installation makes."""
    def missing(kind, reference, key=None):
        name = reference["name"]
        if kind == "Secret" and name in EXTERNAL_SECRETS:
            return key is not None and EXTERNAL_SECRETS[name] and key not in EXTERNAL_SECRETS[name]
        thing = find(objects, kind, name)
        return not thing or (key is not None and key not in (thing.get("data") or {}))

    for pod in pods(objects):
        for container in pod.containers():
            for source in container.get("envFrom") or []:
                for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                    if field in source and missing(kind, source[field]):
                        yield f"{pod.name}: no {kind} {source[field]['name']}"
            for entry in container.get("env") or []:
                for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                    reference = (entry.get("valueFrom") or {}).get(field)
                    if reference and missing(kind, reference, reference["key"]):
                        yield f"{pod.name}: no key {reference['key']} in {kind} {reference['name']}"
            volumes = {volume["name"] for volume in pod.spec.get("volumes") or []}
            volumes |= {claim["metadata"]["name"] for claim in pod.owner["spec"].get("volumeClaimTemplates") or []}
            for mount in container.get("volumeMounts") or []:
                if mount["name"] not in volumes:
                    yield f"{pod.name}: no volume {mount['name']}"
        for volume in pod.spec.get("volumes") or []:
            if "secret" in volume:
                for item in volume["secret"]["items"]:
                    if missing("Secret", {"name": volume["secret"]["secretName"]}, item["key"]):
                        yield f"{pod.name}: no key {item['key']} in Secret {volume['secret']['secretName']}"
            if "configMap" in volume and missing("ConfigMap", volume["configMap"]):
                yield f"{pod.name}: no ConfigMap {volume['configMap']['name']}"
            claim = volume.get("persistentVolumeClaim")
            if claim and not find(objects, "PersistentVolumeClaim", claim["claimName"]):
                yield f"{pod.name}: no claim {claim['claimName']}"
    for thing in of_kind(objects, "TriggerAuthentication"):
        for field, kind in (("configMapTargetRef", "ConfigMap"), ("secretTargetRef", "Secret")):
            for reference in thing["spec"].get(field) or []:
                if missing(kind, reference, reference["key"]):
                    yield f"{label(thing)}: no key {reference['key']} in {kind} {reference['name']}"
    for thing in of_kind(objects, "ScaledObject"):
        for trigger in thing["spec"]["triggers"]:
            wanted = (trigger.get("authenticationRef") or {}).get("name")
            if wanted and not find(objects, "TriggerAuthentication", wanted):
                yield f"{label(thing)}: no TriggerAuthentication {wanted}"


@rule
def secrets(objects):
    """A rendered Secret is one that everybody knows: only dev's."""
    for thing in of_kind(objects, "Secret"):
        if thing["metadata"]["name"] != "postgres-auth" or thing.get("data", {}).get("password") != "ZGV2LW9ubHk=":
            yield f"{label(thing)}: a password in the manifests"


@rule
def roles(objects):
    """With the component database-roles, everything that runs has a role of its own and its role's Secret; db-init alone is the owner, and makes those."""
    def passwords(container):
        return {entry["valueFrom"]["secretKeyRef"]["name"] for entry in container.get("env") or []
                if entry["name"] == "POSTGRES_PASSWORD" and "secretKeyRef" in (entry.get("valueFrom") or {})}

    users, made = {}, {}
    for pod in ours(objects):
        container = pod.containers()[0]
        env = literal_env(container)
        if pod.labels.get(NAME) == "db-init":
            made |= {env[name]: env.get(name.replace("ROLE", "PASSWORD_FILE"), "") for name in env if name.endswith("_ROLE")}
        elif passwords(container):
            users[pod.name] = (env.get("POSTGRES_USER"), passwords(container))
    if not made and not any(user for user, _ in users.values()):
        return
    for name, (user, secret) in users.items():
        if user not in made:
            yield f"{name}: db-init makes no role {user}"
        elif secret != {made[user].split("/")[2] if made[user] else ""}:
            yield f"{name}: its password is from {', '.join(secret)}, the role {user} is given that of {made[user]}"


@rule
def images(objects):
    for pod in pods(objects):
        for container in pod.containers():
            image, _, tag = container["image"].partition(":")
            if image not in IMAGES or not tag or tag == "latest":
                yield f"{pod.name}: image {container['image']} is unknown, has no tag, or has a moving one"
            if container.get("imagePullPolicy") != "IfNotPresent":
                yield f"{pod.name}: imagePullPolicy is {container.get('imagePullPolicy')}"
    tags = {pod.containers()[0]["image"].rpartition(":")[2] for pod in ours(objects) if pod.labels[NAME] != "worker-canary"}
    if len(tags) > 1:
        yield f"releases are mixed: {sorted(tags)}: something is listed after image-tags"


@rule
def restricted(objects):
    """The Pod Security standard `restricted`, and what it leaves open."""
    for pod in pods(objects):
        context = pod.spec.get("securityContext") or {}
        uid = {"postgres": 999, "redis": 999}.get(pod.labels.get(NAME), 65532)
        if context.get("runAsNonRoot") is not True or context.get("runAsUser") != uid:
            yield f"{pod.name}: must run as uid {uid}"
        if (context.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
            yield f"{pod.name}: no seccomp profile"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name}: mounts a service account's token"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name}: enableServiceLinks injects POSTGRES_PORT=tcp://.. and the like"
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(field):
                yield f"{pod.name}: {field}"
        for volume in pod.spec.get("volumes") or []:
            if not set(volume) - {"name"} <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "downwardAPI"}:
                yield f"{pod.name}: volume {volume['name']} is of a kind that restricted forbids"
        for container in pod.containers():
            own = container.get("securityContext") or {}
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"{pod.name}: allows privilege escalation"
            if own.get("readOnlyRootFilesystem") is not True:
                yield f"{pod.name}: its root file system can be written"
            if (own.get("capabilities") or {}).get("drop") != ["ALL"] or (own.get("capabilities") or {}).get("add"):
                yield f"{pod.name}: keeps capabilities"


@rule
def resources(objects):
    for pod in pods(objects):
        for container in pod.containers():
            have = container.get("resources") or {}
            if not {"cpu", "memory"} <= set(have.get("requests") or {}) or "memory" not in (have.get("limits") or {}):
                yield f"{pod.name}: needs requests of cpu and memory, and a limit of memory"


@rule
def names(objects):
    for thing in objects:
        name = thing["metadata"]["name"]
        limit = {"CronJob": 52, "Job": 63, "Service": 63}.get(thing["kind"], 253)
        if len(name) > limit or not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name):
            yield f"{label(thing)}: a bad name, or longer than {limit}"


@rule
def grace(objects):
    """What a process may take to stop fits into its pod's grace period."""
    for pod in ours(objects):
        kind, given = pod.labels[COMPONENT], pod.spec.get("terminationGracePeriodSeconds", 30)
        env = literal_env(pod.containers()[0])
        if kind == "api":
            names = ["API_DRAIN_DELAY", "API_DRAIN_BUDGET"]
            more = API_LAST_WRITES
        elif kind == "worker":
            names = ["WORKER_DRAIN_BUDGET", "WORKER_CANCEL_GRACE"]
            more = WORKER_LAST_WRITES
        else:
            continue
        if not set(names) <= set(env):
            yield f"{pod.name}: {' and '.join(names)} must stand beside its grace period"
            continue
        needed = sum(seconds(env[name]) for name in names) + more
        if needed >= given:
            yield f"{pod.name}: may take {needed:g} s to stop, the grace period is {given} s"
        if kind == "api" and seconds(env["API_DRAIN_DELAY"]) < 5:
            yield f"{pod.name}: API_DRAIN_DELAY is shorter than endpoints take to be withdrawn"


@rule
def probes(objects):
    """Readiness asks whether work can be done; the others only whether the process runs, or an outage would restart every pod."""
    for pod in ours(objects):
        if pod.labels[COMPONENT] not in ("api", "worker"):
            continue
        for container in pod.containers():
            for probe, path in (("startupProbe", "/live"), ("readinessProbe", "/ready"), ("livenessProbe", "/live")):
                have = ((container.get(probe) or {}).get("httpGet") or {}).get("path")
                if have != path:
                    yield f"{pod.name}: {probe} asks {have}, not {path}"


@rule
def rollout(objects):
    for thing in of_kind(objects, "Deployment"):
        if thing["metadata"]["labels"].get(COMPONENT) in ("api", "worker"):
            rolling = thing["spec"]["strategy"].get("rollingUpdate") or {}
            if (rolling.get("maxUnavailable"), rolling.get("maxSurge")) != (0, 1):
                yield f"{label(thing)}: a rollout must not take pods away first: {thing['spec']['strategy']}"


@rule
def migration(objects):
    """A Job's template is immutable, so nothing in it may change with the settings."""
    for thing in of_kind(objects, "Job"):
        for container in thing["spec"]["template"]["spec"]["containers"]:
            used = [source["configMapRef"]["name"] for source in container.get("envFrom") or [] if "configMapRef" in source]
            used += [entry["valueFrom"]["configMapKeyRef"]["name"] for entry in container.get("env") or []
                     if "configMapKeyRef" in (entry.get("valueFrom") or {})]
            for name in used:
                if name != "connection":
                    yield f"{label(thing)}: reads ConfigMap {name}, whose name changes with its content"
        if "backoffLimit" not in thing["spec"] or thing["spec"].get("ttlSecondsAfterFinished", 0) < 86400:
            yield f"{label(thing)}: needs a backoffLimit, and a ttlSecondsAfterFinished of at least a day"


@rule
def one_switch(objects):
    """All long-running workloads read one ConfigMap, and that says where the queue and the database are."""
    map_ = settings(objects)
    if not map_:
        if of_kind(objects, "Namespace"):
            yield "there is not exactly one ConfigMap settings"
        return
    data = map_["data"]
    if not re.fullmatch(r"settings-[a-z0-9]{10}", map_["metadata"]["name"]):
        yield f"{label(map_)}: no hash in the name, so changes would not roll the pods"
    for pod in ours(objects):
        used = [source.get("configMapRef", {}).get("name") for source in pod.containers()[0].get("envFrom") or []]
        wanted = {"Job": "connection"}.get(pod.owner["kind"], map_["metadata"]["name"])
        if pod.labels[COMPONENT] != "load-test" and used != [wanted]:
            yield f"{pod.name}: reads {used}, not {wanted}"
        for shadowed in set(literal_env(pod.containers()[0])) & set(data):
            yield f"{pod.name}: its own {shadowed} hides the one in settings"
    redis = [thing for thing in objects if thing["metadata"]["name"] == "redis"]
    mode = data.get("QUEUE_BACKEND")
    if mode not in ("postgres", "redis") or (mode == "redis") != bool(redis) or (mode == "redis") != ("REDIS_ADDR" in data):
        yield f"QUEUE_BACKEND is {mode}, REDIS_ADDR {data.get('REDIS_ADDR')}, objects named redis: {len(redis)}"
    for variable in ("DATABASE_URL", "DATABASE_DIRECT_URL"):
        url = urlsplit(data.get(variable, ""))
        if variable == "DATABASE_URL" and not url.hostname:
            yield "DATABASE_URL is not set"
        elif url.hostname and not reachable(objects, url.hostname):
            yield f"{variable}: nothing here is called {url.hostname}"
        if url.password:
            yield f"{variable}: a password in the manifests"
    connection = find(objects, "ConfigMap", "connection")
    for key, value in (connection or {"data": {}})["data"].items():
        direct = data.get("DATABASE_DIRECT_URL") if key == "DATABASE_URL" else None
        if (direct or data.get(key)) != value:
            yield f"connection says {key}={value}, settings {direct or data.get(key)}"


def reachable(objects, host):
    if "." in host:
        return True
    if find(objects, "Service", host):
        return True
    return find(objects, "Pooler", host) or any(host == f"{thing['metadata']['name']}-rw" for thing in of_kind(objects, "Cluster"))


@rule
def variables(objects):
    """Every variable that our pods get is one that is documented; dev/tests/docs.rs compares documents and code."""
    known = documented_variables()
    for pod in ours(objects):
        for container in pod.containers():
            for entry in container.get("env") or []:
                if entry["name"] not in known:
                    yield f"{pod.name}: no binary reads {entry['name']}"
    for thing in of_kind(objects, "ConfigMap"):
        if thing["metadata"]["labels"].get(NAME) in ("settings", "connection"):
            for name in set(thing["data"]) - known:
                yield f"{label(thing)}: no binary reads {name}"


def handlers_file(objects, pod):
    """What WORKER_HANDLERS names, from the ConfigMap that is mounted there; "" if there is no such file, None if none is named."""
    container = pod.containers()[0]
    path = literal_env(container).get("WORKER_HANDLERS")
    if path is None:
        return None
    folder, _, key = path.rpartition("/")
    mounted = [mount["name"] for mount in container.get("volumeMounts") or [] if mount["mountPath"] == folder]
    maps = [volume["configMap"]["name"] for volume in pod.spec.get("volumes") or [] if volume["name"] in mounted and "configMap" in volume]
    found = [find(objects, "ConfigMap", name) for name in maps]
    return next((thing["data"][key] for thing in found if thing and key in thing["data"]), "")


@rule
def handlers(objects):
    """A worker without its file of kinds does not start. (What the file says is checked by worker/tests/suite/email/configuration.rs.)"""
    for pod in ours(objects):
        if handlers_file(objects, pod) == "":
            yield f"{pod.name}: WORKER_HANDLERS names no file of a mounted ConfigMap"


@rule
def tokens(objects):
    """Where API tokens are asked for, whoever serves has the list, and whoever asks has a token."""
    file = (settings(objects) or {"data": {}})["data"].get("API_TOKENS_FILE")
    for pod in ours(objects):
        volumes = {volume["name"]: volume.get("secret", {}) for volume in pod.spec.get("volumes") or []}
        mounts = {mount["mountPath"]: volumes.get(mount["name"], {}) for mount in pod.containers()[0].get("volumeMounts") or []}
        if pod.labels[COMPONENT] in ("api", "worker"):
            folder, _, key = (file or "").rpartition("/")
            has_list = [item["key"] for item in mounts.get(folder, {}).get("items") or []] == [key]
            if file and not has_list:
                yield f"{pod.name}: API_TOKENS_FILE names no file of a mounted Secret: it comes after the component auth"
        if pod.labels[COMPONENT] == "load-test":
            given = [flag.partition("=")[2].rpartition("/")[0] for flag in pod.containers()[0]["args"] if flag.startswith("--token-file=")]
            if (file and not given) or not set(given) <= set(mounts):
                yield f"{pod.name}: has no token, or no file with it"
    for thing in of_kind(objects, "PodMonitor"):
        for end in thing["spec"]["podMetricsEndpoints"]:
            credentials = end.get("authorization", {}).get("credentials", {})
            if file and credentials.get("key") not in EXTERNAL_SECRETS.get(credentials.get("name"), set()):
                yield f"{label(thing)}: has no token: it comes after the component auth/monitoring, or that is not listed"


@rule
def scaling(objects):
    """Who scales owns the number of replicas, alone; and asks for the queue that its target takes from."""
    owned = []
    for thing in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        name = thing["spec"]["scaleTargetRef"]["name"]
        owned.append(name)
        target = find(objects, "Deployment", name)
        if not target:
            yield f"{label(thing)}: no Deployment {name}"
            continue
        if "replicas" in target["spec"]:
            yield f"{label(target)}: has replicas, which {label(thing)} owns"
        container = target["spec"]["template"]["spec"]["containers"][0]
        for trigger in thing["spec"].get("triggers") or []:
            query = trigger["metadata"].get("query")
            queues = set(re.findall(r"(?:queue|name) = '([^']*)'", query or ""))
            wanted = set(literal_env(container).get("WORKER_QUEUES", "default").split(","))
            if query and queues != wanted:
                yield f"{label(thing)}: asks for {queues}, its workers take from {wanted}"
            if query and ("taskrow.leases" not in query or "taskrow.ready" not in query):
                yield f"{label(thing)}: must count queued and running tasks"
            stream = trigger["metadata"].get("stream")
            if stream and re.fullmatch(r"taskrow:([^#]+)#[^#]+(#high|#low)?", stream) is None:
                yield f"{label(thing)}: {stream} is no stream of dispatch/src/streams.rs"
    if len(owned) != len(set(owned)):
        yield f"several scale one Deployment: {owned}"
    for thing in of_kind(objects, "Deployment"):
        if thing["metadata"]["name"] not in owned and "replicas" not in thing["spec"]:
            yield f"{label(thing)}: nobody says how many"


@rule
def disruption(objects):
    """Where budgets and spreading are used at all, no Deployment of ours is left out."""
    budgets = of_kind(objects, "PodDisruptionBudget")
    for thing in budgets:
        spec = thing["spec"]
        if spec.get("maxUnavailable") != 1 or spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow" or "minAvailable" in spec:
            yield f"{label(thing)}: could block a drain: {spec}"
    deployments = [thing for thing in of_kind(objects, "Deployment") if thing["metadata"]["labels"].get(COMPONENT) in ("api", "worker")]
    for thing in deployments:
        found = thing["spec"]["template"]["metadata"]["labels"]
        if budgets and thing["spec"].get("replicas") != 1 and not any(matches(budget["spec"]["selector"], found) for budget in budgets):
            yield f"{label(thing)}: no disruption budget"
    spread = {label(thing): thing["spec"]["template"]["spec"].get("topologySpreadConstraints") for thing in deployments}
    for name, constraints in spread.items():
        if any(spread.values()) and not constraints:
            yield f"{name}: not spread: it comes after the component topology-spread"
        for constraint in constraints or []:
            if constraint["whenUnsatisfiable"] != "ScheduleAnyway":
                yield f"{name}: spreading could keep pods from running"


@rule
def policies(objects):
    """With default deny: everything that listens can be reached, everything that asks may ask."""
    found = of_kind(objects, "NetworkPolicy")
    if not find(found, "NetworkPolicy", "default-deny"):
        return

    def allows(pod, direction, port):
        for policy in found:
            if matches(policy["spec"]["podSelector"], pod.labels):
                for entry in policy["spec"].get(direction) or []:
                    if port in [item["port"] for item in entry.get("ports") or []]:
                        return True
        return False

    data = (settings(objects) or {"data": {}})["data"]
    for pod in pods(objects):
        for name, number in ports_of(pod).items():
            if not allows(pod, "ingress", name) and not allows(pod, "ingress", number):
                yield f"{pod.name}: no policy lets anybody reach its port {name}"
        if not allows(pod, "egress", 53):
            yield f"{pod.name}: no policy lets it ask DNS"
        kind = pod.labels.get(COMPONENT)
        if kind in ("api", "worker", "maintenance") and not allows(pod, "egress", 5432):
            yield f"{pod.name}: no policy lets it reach Postgres"
        if kind in ("api", "worker") and "REDIS_ADDR" in data and not allows(pod, "egress", 6379):
            yield f"{pod.name}: no policy lets it reach Redis"
        for port in re.findall(r"^port = (\d+)", handlers_file(objects, pod) or "", re.M):
            if not allows(pod, "egress", int(port)):
                yield f"{pod.name}: no policy lets it reach its mail server's port {port}"
        if kind == "load-test" and not allows(pod, "egress", 8080):
            yield f"{pod.name}: no policy lets it reach the api"
    for policy in found:
        for entry in policy["spec"].get("egress") or []:
            if any(item["port"] == 53 for item in entry.get("ports") or []) and "to" in entry:
                yield f"{label(policy)}: DNS may be anywhere"


@rule
def metrics(objects):
    """Rules and dashboards ask for metrics that are documented; api and worker tests compare documents and processes."""
    known = documented_metrics()
    texts = [(label(thing), str(thing["spec"])) for thing in of_kind(objects, "PrometheusRule")]
    texts += [(label(thing), str(thing["data"])) for thing in of_kind(objects, "ConfigMap") if "dashboard" in thing["metadata"]["name"]]
    for where, text in texts:
        for name in set(re.findall(r"\btaskrow_[a-z_]+", text)):
            if name not in known and re.sub(r"_(bucket|sum|count)$", "", name) not in known:
                yield f"{where}: there is no metric {name}"
