"""Generates the files of deploy/kubernetes that follow from others: contexts, accounts, alerts."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

from ops.accounts.files import GATEWAY, OPERATOR, Addresses
from ops.stack.local import REPOSITORY
from workers.registry import CONTEXTS, REGISTRY, SYSTEMS, Context, Replicas
from workers.runtime.settings import PREFIX, Settings
from workers.settings import settings_of

KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
ALERTS = REPOSITORY / "deploy" / "prometheus" / "alerts.yml"
(REFUND_LOG,) = (context.name for context in REGISTRY if context.asks_provider)
"""The context that keeps the log of refunds."""
ACCOUNTS = {account: tuple(Addresses("", "", "", "api").of(account)) for account in (*CONTEXTS, GATEWAY, OPERATOR)}
"""The accounts, and the names of their files."""

WRITTEN = "# Written by `make manifests` from workers/registry.py.\n"
KUSTOMIZATION = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
COMPONENT = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"


def name_of(context: str) -> str:
    """The name of a context as Kubernetes allows it: `video-rental-my-page`."""
    return context.replace(".", "-").replace("_", "-")


def generated_files() -> dict[Path, str]:
    """The path and text of every generated file."""
    folder = KUBERNETES / "base" / "contexts"
    files = {folder / name_of(context.name) / "kustomization.yaml": kustomization(context) for context in REGISTRY}
    files |= {KUBERNETES / "config" / f"{system}.env": configuration(system) for system in SYSTEMS}
    files[folder / "kustomization.yaml"] = _listing()
    files[KUBERNETES / "accounts" / "kustomization.yaml"] = _accounts()
    files[KUBERNETES / "prepare" / "accounts.yaml"] = _all_accounts()
    files[KUBERNETES / "monitoring" / "alerts.yaml"] = _alerts()
    return files


def configuration(system: str) -> str:
    """The settings of a system with their defaults, where these are numbers; an overlay merges other values."""
    lines = "# Written by `make manifests` from the settings of the system; an overlay may merge other values.\n"
    for kind in settings_of(system):
        for name, field in kind.model_fields.items():
            if name not in Settings.model_fields and isinstance(field.default, int | float):
                value = f"{field.default:g}" if isinstance(field.default, float) else field.default
                lines += f"{PREFIX}{name.upper()}={value}\n"
    return lines


def kustomization(context: Context) -> str:
    """The kustomization of a context: name, account, settings, queues and limits on top of the shared shape."""
    name, system, replicas = name_of(context.name), name_of(context.system), context.replicas
    queues = "@" + context.name.replace(".", "[.]") + "$"
    figures = {
        "/spec/minReplicaCount": (replicas.least, Replicas.least),
        "/spec/triggers/0/metadata/value": (f'"{replicas.messages}"', f'"{Replicas.messages}"'),
    }
    scale = "".join(
        f"      - {{op: replace, path: {path}, value: {figure}}}\n"
        for path, (figure, usual) in figures.items()
        if figure != usual
    )
    memory = ""
    if context.memory != Context.memory:
        path = "/spec/template/spec/containers/0/resources/limits/memory"
        memory = f"      - {{op: replace, path: {path}, value: {context.memory}Mi}}\n"
    return f"""{WRITTEN}{KUSTOMIZATION}resources: [../../shape]
nameSuffix: -{name}
labels:
  - pairs: {{app.kubernetes.io/name: {name}}}
    includeSelectors: true
patches:
  - target: {{kind: Deployment}}
    patch: |-
      - {{op: replace, path: /spec/template/spec/containers/0/args, value: [{context.name}]}}
      - {{op: add, path: /spec/template/spec/containers/0/envFrom/-, value: {{configMapRef: {{name: {system}}}}}}}
      - {{op: replace, path: /spec/template/spec/volumes/0/secret/secretName, value: account-{name}}}
{memory}{_REFUND_LOG if context.asks_provider else ""}  - target: {{kind: ScaledObject}}
    patch: |-
      - {{op: replace, path: /spec/scaleTargetRef/name, value: worker-{name}}}
{scale}      - {{op: replace, path: /spec/maxReplicaCount, value: {replicas.most}}}
      - {{op: replace, path: /spec/triggers/0/metadata/queueName, value: "{queues}"}}
"""


_REFUND_LOG = """\
      - op: add
        path: /spec/template/spec/volumes/-
        value: {name: refund-log, persistentVolumeClaim: {claimName: refund-log}}
      - op: add
        path: /spec/template/spec/containers/0/volumeMounts/-
        value: {name: refund-log, mountPath: /var/lib/yeyak}
"""


def _listing() -> str:
    lines = "".join(f"  - {name_of(context)}\n" for context in CONTEXTS)
    return f"{WRITTEN}{KUSTOMIZATION}resources:\n{lines}"


def _accounts() -> str:
    lines = ""
    for account, files in ACCOUNTS.items():
        names = ", ".join(f"{account}/{file}" for file in files)
        lines += f"  - {{name: account-{name_of(account)}, files: [{names}]}}\n"
    return f"{WRITTEN}{COMPONENT}secretGenerator:\n{lines}"


def _all_accounts() -> str:
    """Mount every account's addresses, a folder each, in the job that creates users and roles."""
    sources = ""
    for account, files in ACCOUNTS.items():
        items = ", ".join(f"{{key: {file}, path: {account}/{file}}}" for file in files)
        sources += f"              - secret: {{name: account-{name_of(account)}, items: [{items}]}}\n"
    return f"""{WRITTEN}apiVersion: batch/v1
kind: Job
metadata:
  name: prepare
spec:
  template:
    spec:
      volumes:
        - name: accounts
          projected:
            sources:
{sources}"""


def _alerts() -> str:
    """The rules of deploy/prometheus/alerts.yml as a PrometheusRule."""
    groups = ALERTS.read_text().partition("\ngroups:\n")[2]
    return f"""# Written by `make manifests` from deploy/prometheus/alerts.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: alerts
spec:
  groups:
{indent(groups, "  ")}"""
