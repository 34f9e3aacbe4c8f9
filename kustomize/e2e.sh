#!/usr/bin/env bash
# Does to a real cluster what the documents say, and what operators fear: install, use, outage, rollout under load, killed pods, cleanup,
# load test, switch of the backend. One line per step, a summary at the end, exit code 0 only when every step passed.
#
#   kustomize/e2e.sh                     everything, then removes the namespace
#   kustomize/e2e.sh outage rollout      only these drills (after install)
#
# Needs kubectl, curl and the cluster of the current context, which can pull the images or already holds them.
#
#   REGISTRY    where the images are           default ghcr.io/your-org
#   IMAGE_TAG   their tag                      default 1.0.0
#   NEXT_TAG    the tag of the rollout drill   default IMAGE_TAG: then the pods are replaced at the same version
#   OVERLAY     what is installed first        default postgres-queue; or redis-queue
#   LOCAL_PORT  of the port-forward            default 18080
#   KEEP=1      leave everything in place
#   YES=1       do not ask before using an existing namespace, whose data this deletes
#   CONTEXT     the kubectl context            default the current one
# shellcheck disable=SC2016 # what is given to eval is expanded there
set -uo pipefail

REGISTRY=${REGISTRY:-ghcr.io/your-org}
IMAGE_TAG=${IMAGE_TAG:-1.0.0}
NEXT_TAG=${NEXT_TAG:-$IMAGE_TAG}
OVERLAY=${OVERLAY:-postgres-queue}
LOCAL_PORT=${LOCAL_PORT:-18080}
TIMEOUT=${TIMEOUT:-300s}
NAMESPACE=mini-project
URL=http://localhost:$LOCAL_PORT
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ALL_DRILLS=(outage rollout persistence redelivery load-test cleanup switch)

passed=0 failed=0 failures=() work='' forward=''

# -- Steps ------------------------------------------------------------------------------------------------------------------------

# Runs a function; prints one line. Its output is shown when it fails.
step() {
    local name=$1 began=$SECONDS
    shift
    if "$@" >"$work/step.log" 2>&1; then
        passed=$((passed + 1))
        printf 'ok    %-62s %4ds\n' "$name" $((SECONDS - began))
    else
        failed=$((failed + 1))
        failures+=("$name")
        printf 'FAIL  %-62s %4ds\n' "$name" $((SECONDS - began))
        sed 's/^/      | /' "$work/step.log" | tail -n 30
        return 1
    fi
}

give_up() {
    echo "e2e: $1" >&2
    exit 69
}

# Polls until a function succeeds, for at most so many seconds.
within() {
    local limit=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ $SECONDS -ge $limit ]; then
            echo "still not after the time: $*"
            return 1
        fi
        sleep 1
    done
}

kube() { kubectl ${CONTEXT:+--context "$CONTEXT"} -n "$NAMESPACE" "$@"; }

# Renders a root with registry and tag set, through a root of our own. That lies beside the others, for kustomize refuses absolute paths.
render() {
    local root=$1 tag=${2:-$IMAGE_TAG} folder
    folder=$(mktemp -d "$HERE/tests/.e2e.XXXXXX") || return 1
    cat >"$folder/kustomization.yaml" <<END
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: $NAMESPACE
resources:
  - ../../$root
images:
  - name: ghcr.io/your-org/mini-api
    newName: $REGISTRY/mini-api
    newTag: "$tag"
  - name: ghcr.io/your-org/mini-worker
    newName: $REGISTRY/mini-worker
    newTag: "$tag"
END
    kubectl kustomize "$folder"
    local code=$?
    rm -rf "$folder"
    return $code
}

apply() { render "$1" "${2:-}" >"$work/manifest.yaml" && kube apply -f "$work/manifest.yaml"; }

# -- HTTP -------------------------------------------------------------------------------------------------------------------------

# A port-forward ends with its pod, so it is started anew whenever it is gone.
connected() {
    if [ -z "$forward" ] || ! kill -0 "$forward" 2>/dev/null; then
        # Not by `kube`: a function would run in a shell of its own, and killing that leaves kubectl behind.
        kubectl ${CONTEXT:+--context "$CONTEXT"} -n "$NAMESPACE" port-forward svc/api "$LOCAL_PORT:80" >"$work/forward.log" 2>&1 &
        forward=$!
        sleep 1
    fi
    curl -fs -m 5 -o /dev/null "$URL/live" && return 0
    # Its pod is gone, or not listening yet.
    disconnect
    return 1
}

disconnect() {
    [ -n "$forward" ] && kill "$forward" 2>/dev/null && wait "$forward" 2>/dev/null
    forward=''
}

field() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" | head -n 1; }

# Submits a payload with options; prints the id.
submit() {
    local id
    id=$(curl -fs -m 30 -X POST "$URL/tasks${2:+?$2}" -H 'content-type: application/json' -d "$1" | field id)
    [ -n "$id" ] && echo "$id"
}

status_of() { curl -fs -m 10 "$URL/tasks/$1" | field status; }

# Submits until it is accepted; leaves the id in $id. A submit that failed was not accepted, so trying again is what a client does.
submitted() { connected && id=$(submit "$1" "${2:-}"); }

is_done() { connected >/dev/null && [ "$(status_of "$1")" = "done" ]; }

# Asks Postgres, through its pod.
sql() { kube exec statefulset/postgres -- psql -U app -d app -v ON_ERROR_STOP=1 -Atc "$1"; }

# Every id of the file has exactly one outcome, and it is `done`.
all_done() {
    local wanted found
    wanted=$(wc -l <"$1")
    found=$(sed "s/.*/'&'::uuid/" "$1" | paste -sd, | { read -r ids && sql "select count(*) from tasks where status = 'done' and id in ($ids)"; })
    echo "$found of $wanted done"
    [ "$found" = "$wanted" ]
}

submit_many() {
    local file=$1 count=$2 query=$3 payload=$4 n
    : >"$file"
    for n in $(seq "$count"); do
        within 60 connected || return 1
        submit "$payload" "$query" >>"$file" || echo "submit $n was refused; not counted"
    done
    [ "$(wc -l <"$file")" -gt 0 ]
}

# -- Cluster ----------------------------------------------------------------------------------------------------------------------

pods_of() { kube get pods -l "app.kubernetes.io/name=$1" --field-selector=status.phase=Running -o name; }

# A workload has pods, and none of them is ready.
none_ready() {
    local states
    states=$(kube get pods -l "app.kubernetes.io/name=$1" \
        -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}')
    [ -n "$states" ] && ! grep -q True <<<"$states"
}

restarts() {
    kube get pods -l 'app.kubernetes.io/component in (api,worker)' \
        -o jsonpath='{range .items[*]}{.status.containerStatuses[0].restartCount}{"\n"}{end}' | awk '{sum += $1} END {print sum + 0}'
}

rolled_out() {
    kube rollout status "deploy/$1" --timeout="$TIMEOUT" || return 1
    # The port-forward may lead to a pod that is on its way out.
    [ "$1" != api ] || disconnect
}

everything_ready() {
    kube wait --for=condition=ready pod -l app.kubernetes.io/name=postgres --timeout="$TIMEOUT" && rolled_out api && rolled_out worker
}

# -- Install and use: the documented commands -------------------------------------------------------------------------------------

make_namespace() {
    kubectl ${CONTEXT:+--context "$CONTEXT"} create namespace "$NAMESPACE" &&
        kube create secret generic postgres-auth --from-literal=password='p@ss:w/rd%41 "quoted"'
}

wait_for_postgres() {
    # `wait` fails at once while there is no pod yet.
    within 60 has_pods postgres && kube wait --for=condition=ready pod -l app.kubernetes.io/name=postgres --timeout="$TIMEOUT"
}
has_pods() { [ -n "$(kube get pods -l "app.kubernetes.io/name=$1" -o name)" ]; }

wait_for_migration() { kube wait --for=condition=complete job/db-init --timeout="$TIMEOUT"; }

never_restarted() { [ "$(restarts)" -eq 0 ] || { kube get pods; return 1; }; }

one_task() {
    local id
    within 60 submitted '{"input":"hello"}' || return 1
    within 30 is_done "$id" && within 30 has_result "$id"
}
has_result() { connected && curl -fs -m 10 "$URL/tasks/$1" | grep -q '"result" *: *{"input":"hello"}'; }

reapply_is_no_op() {
    render "overlays/$OVERLAY" >"$work/manifest.yaml" && kube apply -f "$work/manifest.yaml" >"$work/applied.txt" || return 1
    cat "$work/applied.txt"
    ! grep -v ' unchanged$' "$work/applied.txt"
}

worker_logs() { [ -n "$(kube logs -l app.kubernetes.io/name=worker --tail=200)" ]; }

runs_unprivileged() {
    local ids
    ids=$(kube get pods -l 'app.kubernetes.io/component in (api,worker)' -o jsonpath='{range .items[*]}{.spec.securityContext.runAsUser}{"\n"}{end}' | sort -u)
    [ "$ids" = 65532 ]
}

# -- Drills -----------------------------------------------------------------------------------------------------------------------

# Postgres goes away while tasks wait and run: not ready, ready again, nothing lost, no pod restarted.
drill_outage() {
    local before
    before=$(restarts)
    step "outage: 20 tasks are accepted" submit_many "$work/outage" 20 'kind=sleep' '{"ms":3000}' || return
    step "outage: the Postgres pod is gone" kube scale statefulset/postgres --replicas=0
    step "outage: api and worker turn not ready" eval 'within 120 none_ready api && within 120 none_ready worker'
    step "outage: Postgres is back" eval 'kube scale statefulset/postgres --replicas=1 && wait_for_postgres'
    step "outage: api and worker turn ready by themselves" everything_ready
    step "outage: every accepted task is done" within 180 all_done "$work/outage"
    step "outage: no pod was restarted" test "$(restarts)" -eq "$before"
    if kube get deploy/redis >/dev/null 2>&1; then
        step "outage: Redis is gone" kube scale deploy/redis --replicas=0
        step "outage: api and worker turn not ready without Redis" eval 'within 120 none_ready api && within 120 none_ready worker'
        step "outage: Redis is back, api and worker turn ready" eval 'kube scale deploy/redis --replicas=1 && everything_ready'
    fi
}

# Requests go on while pods are replaced. A port-forward would end with its pod, so the load comes from inside: pods that curl the Service
# would need another image; instead psql's image does it with bash and /dev/tcp.
start_load() {
    kube delete pod e2e-load --ignore-not-found --now
    kube apply -f - <<END
apiVersion: v1
kind: Pod
metadata:
  name: e2e-load
  labels: {app.kubernetes.io/name: e2e-load, app.kubernetes.io/part-of: mini-project, app.kubernetes.io/managed-by: kubectl}
spec:
  restartPolicy: Never
  enableServiceLinks: false
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 999, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: load
      image: postgres:16
      imagePullPolicy: IfNotPresent
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      resources: {requests: {cpu: 50m, memory: 32Mi}, limits: {memory: 128Mi}}
      command: [bash, -c]
      args:
        - |
          ok=0 bad=0 stop=0 body='{"ms":200}'
          trap 'stop=1' TERM
          trap '' PIPE
          while [ \$stop = 0 ]; do
            answer=
            if exec 3<>/dev/tcp/api/80; then
              printf 'POST /tasks?kind=sleep HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s' \${#body} "\$body" >&3
              IFS= read -r -t 30 answer <&3
              exec 3<&- 3>&-
            fi 2>/dev/null
            case \$answer in 'HTTP/1.1 20'*) ok=\$((ok + 1)) ;; *) bad=\$((bad + 1)); echo "failed: \$answer" ;; esac
            sleep 0.05
          done
          echo "requests ok=\$ok bad=\$bad"
END
    kube wait --for=condition=ready pod/e2e-load --timeout="$TIMEOUT"
}

# Tells the loop to end and reads its last line.
stop_load() {
    kube exec e2e-load -- bash -c 'kill -TERM 1' || return 1
    within 60 load_ended || return 1
    kube logs e2e-load | tail -n 5 | tee "$work/load.txt"
    kube delete pod e2e-load --now >/dev/null
    grep -q 'requests ok=[1-9][0-9]* bad=0$' "$work/load.txt"
}
load_ended() { [ "$(kube get pod e2e-load -o jsonpath='{.status.phase}')" = Succeeded ]; }

replace_pods() {
    if [ "$NEXT_TAG" = "$IMAGE_TAG" ]; then
        kube rollout restart "deploy/$1"
    else
        kube set image "deploy/$1" "$1=$REGISTRY/mini-$1:$NEXT_TAG"
    fi && rolled_out "$1"
}

nothing_open() { [ "$(sql "select count(*) from tasks where status not in ('done', 'failed', 'cancelled')")" = 0 ]; }
nothing_failed() { [ "$(sql "select count(*) from tasks where status in ('failed', 'missing')")" = 0 ]; }

drill_rollout() {
    step "rollout: load from inside the cluster" start_load || return
    step "rollout: api, new pods before old ones stop" replace_pods api
    step "rollout: worker, running tasks are finished" replace_pods worker
    step "rollout: no request failed" stop_load
    step "rollout: every task is done" eval 'within 180 nothing_open && nothing_failed'
}

# The pod of Postgres is deleted; its volume is not.
drill_persistence() {
    local before
    step "persistence: a task is done" one_task || return
    before=$(sql 'select count(*) from tasks')
    step "persistence: the Postgres pod is deleted" kube delete pod postgres-0
    step "persistence: everything is ready again" eval 'wait_for_postgres && everything_ready'
    step "persistence: the $before tasks are still there" test "$(sql 'select count(*) from tasks')" = "$before"
}

# A worker is killed in the middle of its tasks, without a chance to give them back.
kill_a_worker() {
    local pod
    pod=$(pods_of worker | head -n 1)
    kube delete "$pod" --grace-period=0 --force
}

some_processing() { [ "$(sql "select count(*) from tasks where status = 'processing'")" -gt 0 ]; }

drill_redelivery() {
    step "redelivery: 10 tasks of 20 s" submit_many "$work/redelivery" 10 'kind=sleep' '{"ms":20000}' || return
    step "redelivery: some are processing" within 30 some_processing
    step "redelivery: a worker is killed" kill_a_worker
    step "redelivery: every task is done, within 3 minutes" within 180 all_done "$work/redelivery"
    step "redelivery: each has one outcome" eval '[ "$(sql "select count(*) - count(distinct task_id) from taskrow.outcomes")" = 0 ]'
}

drill_load_test() {
    kube delete job/load-test --ignore-not-found >/dev/null 2>&1
    step "load test: the Job is applied" apply tests/load-test || return
    step "load test: 1000 tasks, all final" load_test_ends
    kube logs job/load-test --tail=40 | sed 's/^/      | /'
}
load_test_ends() { within 600 load_test_over && [ "$(kube get job load-test -o jsonpath='{.status.succeeded}')" = 1 ]; }
load_test_over() { [ -n "$(kube get job load-test -o jsonpath='{.status.succeeded}{.status.failed}')" ]; }

# The CronJob, without its schedule. tests/default-extras has it, but also others; so it is put together here.
drill_cleanup() {
    local folder="$HERE/tests/.e2e-cleanup"
    mkdir -p "$folder"
    printf '%s\n' 'apiVersion: kustomize.config.k8s.io/v1beta1' 'kind: Kustomization' "namespace: $NAMESPACE" \
        'resources: [../../overlays/'"$OVERLAY"']' 'components: [../../components/cleanup-cronjob]' >"$folder/kustomization.yaml"
    step "cleanup: the CronJob is applied" apply tests/.e2e-cleanup
    rm -rf "$folder"
    kube delete job/cleanup-by-hand --ignore-not-found >/dev/null 2>&1
    step "cleanup: it runs by hand" eval 'kube create job --from=cronjob/cleanup cleanup-by-hand && kube wait --for=condition=complete job/cleanup-by-hand --timeout="$TIMEOUT"'
    kube logs job/cleanup-by-hand --tail=5 | sed 's/^/      | /'
}

# The queue's backend changes under tasks that wait and run, there and back.
drill_switch() {
    local other=redis-queue
    [ "$OVERLAY" = redis-queue ] && other=postgres-queue
    step "switch: 30 tasks in flight" submit_many "$work/switch" 30 'kind=sleep' '{"ms":2000}' || return
    step "switch: apply $other" apply "overlays/$other"
    step "switch: everything is ready" everything_ready
    step "switch: every task is done" within 180 all_done "$work/switch"
    step "switch: a task runs" one_task
    step "switch: 30 tasks in flight again" submit_many "$work/back" 30 'kind=sleep' '{"ms":2000}'
    step "switch: back to $OVERLAY" eval 'apply "overlays/$OVERLAY" && everything_ready'
    step "switch: every task is done again" within 180 all_done "$work/back"
    if [ "$OVERLAY" = postgres-queue ]; then
        step "switch: what stays behind is removed" kube delete deploy/redis service/redis
        step "switch: a task runs without Redis" one_task
    fi
}

# -- Main -------------------------------------------------------------------------------------------------------------------------

prepare() {
    command -v kubectl >/dev/null || give_up "no kubectl"
    command -v curl >/dev/null || give_up "no curl"
    kubectl kustomize "$HERE/overlays/$OVERLAY" >/dev/null || give_up "kubectl cannot render overlays/$OVERLAY: kubectl 1.28 or later is needed"
    kubectl ${CONTEXT:+--context "$CONTEXT"} --request-timeout=15s version >/dev/null 2>&1 ||
        give_up "no cluster answers: kubectl config current-context says '$(kubectl config current-context 2>/dev/null)'"
    work=$(mktemp -d) || give_up "no temporary directory"
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    if kubectl ${CONTEXT:+--context "$CONTEXT"} get namespace "$NAMESPACE" >/dev/null 2>&1; then
        if [ "${YES:-}" != 1 ]; then
            KEEP=1
            give_up "namespace $NAMESPACE exists already; YES=1 deletes it and its data"
        fi
        kubectl ${CONTEXT:+--context "$CONTEXT"} delete namespace "$NAMESPACE" --timeout=180s || give_up "cannot delete namespace $NAMESPACE"
    fi
}

clean_up() {
    disconnect
    rm -rf "$HERE"/tests/.e2e.?????? "$HERE/tests/.e2e-cleanup"
    if [ "${KEEP:-}" != 1 ]; then
        kubectl ${CONTEXT:+--context "$CONTEXT"} delete namespace "$NAMESPACE" --ignore-not-found --timeout=180s >/dev/null 2>&1 ||
            echo "e2e: namespace $NAMESPACE could not be removed" >&2
    fi
    [ -n "$work" ] && rm -rf "$work"
}

install() {
    step "namespace and secret" make_namespace || return
    step "apply overlays/$OVERLAY, all at once" apply "overlays/$OVERLAY" || return
    step "Postgres is ready" wait_for_postgres || return
    step "the migration is complete" wait_for_migration || return
    step "api is rolled out" rolled_out api || return
    step "worker is rolled out" rolled_out worker || return
    step "no pod was restarted on the way" never_restarted
    step "pods run as 65532" runs_unprivileged
    step "a task runs: POST, then GET" one_task || return
    step "worker logs" worker_logs
    step "applying again changes nothing" reapply_is_no_op
}

main() {
    local drills=("$@") drill
    [ ${#drills[@]} -gt 0 ] || drills=("${ALL_DRILLS[@]}")
    for drill in "${drills[@]}"; do
        [[ " ${ALL_DRILLS[*]} " == *" $drill "* ]] || give_up "no drill is called $drill; there are: ${ALL_DRILLS[*]}"
    done
    prepare
    if install; then
        for drill in "${drills[@]}"; do "drill_${drill//-/_}"; done
    else
        echo "      install failed: no drills. (ErrImagePull, ErrImageNeverPull: set REGISTRY and IMAGE_TAG, or load the images.)"
        kube get pods,jobs 2>&1 | sed 's/^/      | /'
    fi
    echo
    for drill in ${failures[@]+"${failures[@]}"}; do echo "failed: $drill"; done
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}

main "$@"
