"""Rules over the source; each yields one line of text for each violation."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter

from tests.architecture.listing import PACKAGES, Listing, Source

Rule = Callable[[Listing], Iterator[str]]
RULES: dict[str, Rule] = {}

MAY_IMPORT = {
    "contracts": {"contracts"},
    "storage": {"storage", "contracts"},
    "workers": {"workers", "storage", "contracts"},
    "gateway_api": {"gateway_api", "contracts", "workers"},
    "ops": {"ops", "gateway_api", "workers", "storage", "contracts"},
    "bench": {"bench", "ops", "gateway_api", "workers", "storage", "contracts"},
    "tests": set(PACKAGES),
}
RUNTIME_MODULES_OF_THE_GATEWAY = {
    f"workers.runtime.{name}"
    for name in (
        "collector",
        "messaging.accelerator",
        "messaging.batch_consumer",
        "messaging.breaker",
        "messaging.broker",
        "messaging.card_numbers",
        "messaging.consumer",
        "messaging.envelope",
        "messaging.errors",
        "messaging.exchanges",
        "messaging.management",
        "messaging.rpc",
        "observability.logs",
        "observability.metrics",
        "observability.tracing",
        "settings",
    )
}
OWNED = {
    "storage.journal_status": "journal",
}
"""Modules of storage that belong to a context although they do not have its name."""
PRINTERS = {"ops.terminal", "ops.stack.output"}
"""The helper for the commands, and the supervisor's own log."""
FASTSTREAM = ("workers.runtime.", "workers.app.")
"""Where FastStream is used: the runtime, and the application that `faststream run` starts."""
LOG_EVENTS = "workers.runtime.observability.log_events"
"""The module with the log events that operators search for."""
SHARED = {"workers.paid", "workers.holds"}
"""What contexts of several systems do in the same way."""
ENTRY_POINTS = {"workers.app", "workers.__main__"}
"""They start contexts by name, and import the registry inside a function, after everything else."""
RUNTIME_LAYERS = {
    "messaging": ("processing", "projections", "worker"),
    "processing": ("projections", "worker"),
    "observability": ("projections", "worker"),
}
"""What a part of the runtime must not import of the parts above it."""
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
LOG_EVENT = re.compile(r"[a-z][a-z0-9_]*")
LINES = 400
COLUMNS = 120
PRAGMA = re.compile(r"  # (noqa|type: ignore).*$")


def rule(name: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return register


@rule("the arrows between packages: gateway_api -> contracts, workers -> storage -> contracts")
def arrows(listing: Listing) -> Iterator[str]:
    for source in listing.sources:
        for module in listing.imports(source):
            package = module.partition(".")[0]
            if package in PACKAGES and package not in MAY_IMPORT[source.package]:
                yield f"{source.path} imports {module}"


@rule("the gateway imports contracts, and of the workers only the messaging client")
def gateway(listing: Listing) -> Iterator[str]:
    for source in listing.of("gateway_api"):
        for module in listing.imports(source):
            if module.startswith("workers") and module not in RUNTIME_MODULES_OF_THE_GATEWAY:
                yield f"{source.path} imports {module}"


@rule("no module that the gateway uses of the runtime imports storage")
def without_database(listing: Listing) -> Iterator[str]:
    known = {source.module: source for source in listing.sources}
    reached, ahead = set[str](), [module for module in RUNTIME_MODULES_OF_THE_GATEWAY if module in known]
    while ahead:
        source = known[ahead.pop()]
        if source.module in reached:
            continue
        reached.add(source.module)
        for module in listing.imports(source):
            if module.startswith("storage"):
                yield f"{source.path} imports {module}"
            elif module in known:
                ahead.append(module)


@rule("a context imports its own storage and any contracts, never another context's storage or worker")
def contexts(listing: Listing) -> Iterator[str]:
    for source in listing.of("storage", "workers"):
        mine = _owner(listing, source.module)
        if mine is None:
            continue
        for module in listing.imports(source):
            theirs = _owner(listing, module) if module.startswith(("storage.", "workers.")) else None
            if theirs not in (None, mine):
                yield f"{source.path} of {mine} imports {module} of {theirs}"


def _owner(listing: Listing, module: str) -> str | None:
    return OWNED.get(module) or listing.context_of(module)


@rule("a module that all contexts share imports no context")
def shared(listing: Listing) -> Iterator[str]:
    for source in listing.of("storage", "workers.runtime"):
        if _owner(listing, source.module) is not None or source.module in ENTRY_POINTS:
            continue
        for module in listing.imports(source):
            ours = module.startswith(("storage.", "workers."))
            if module == "workers.registry" or (ours and _owner(listing, module) is not None):
                yield f"{source.path} imports {module}"


@rule("each context has one name in contracts, storage and workers")
def one_name(listing: Listing) -> Iterator[str]:
    for context in listing.contexts:
        for layer in ("contracts", "storage", "workers"):
            if f"{layer}.{context}" not in listing.modules:
                yield f"{context} has no {layer}.{context}"


@rule("every module of workers belongs to a context, to several, or to the runtime, or has the settings of a system")
def module_owner(listing: Listing) -> Iterator[str]:
    packages = {"workers", *(f"workers.{system}" for system in _systems(listing))}
    settings = {f"{package}.settings" for package in packages}
    for source in listing.of("workers"):
        if (
            source.module.startswith("workers.runtime")
            or source.module in {"workers.registry"} | SHARED | ENTRY_POINTS | packages | settings
        ):
            continue
        if listing.context_of(source.module) is None:
            yield f"{source.path} belongs to no context of the system"


def _systems(listing: Listing) -> set[str]:
    return {context.partition(".")[0] for context in listing.contexts}


@rule("only the runtime and the application of the workers import FastStream")
def faststream(listing: Listing) -> Iterator[str]:
    for source in listing.of("contracts", "storage", "workers", "gateway_api", "ops"):
        if f"{source.module}.".startswith(FASTSTREAM):
            continue
        yield from (
            f"{source.path} imports {module}"
            for module in listing.imports(source)
            if module.partition(".")[0] == "faststream"
        )


@rule("only the RPC client calls a broker's `request`: there each way in which it ends becomes an outcome")
def requests(listing: Listing) -> Iterator[str]:
    for source in listing.of("contracts", "storage", "workers", "gateway_api", "ops", "bench"):
        if source.module != "workers.runtime.messaging.rpc":
            yield from (f"{source.path} calls {call}" for call, _ in source.calls if call.endswith("broker.request"))


@rule("nothing is published to the default exchange: the right to write there covers every queue")
def no_default_exchange(listing: Listing) -> Iterator[str]:
    for source in listing.of("contracts", "storage", "workers", "gateway_api", "ops"):
        yield from (f"{source.path} calls {call}" for call, _ in source.calls if ".default_exchange" in call)


@rule("no blocking sleep, no instant without a zone, no duration from the wall clock")
def clocks(listing: Listing) -> Iterator[str]:
    for source in listing.of("contracts", "storage", "workers", "gateway_api"):
        for call, arguments in source.calls:
            naive = call.endswith(("datetime.now", "datetime.fromtimestamp")) and arguments < 1 + call.endswith(
                "timestamp"
            )
            if (
                naive
                or call in ("time.sleep", "time.time")
                or call.endswith(("utcnow", "utcfromtimestamp", "date.today"))
            ):
                yield f"{source.path} calls {call}"


@rule("workers log and do not print")
def no_print(listing: Listing) -> Iterator[str]:
    for source in listing.of("contracts", "storage", "workers"):
        yield from (f"{source.path} prints" for call, _ in source.calls if call in ("print", "pprint"))


@rule("commands print through ops.terminal, which escapes what data could do to a terminal")
def terminal(listing: Listing) -> Iterator[str]:
    for source in listing.of("ops"):
        if source.module in PRINTERS or source.module.startswith("ops.deployment."):
            continue
        prints = ("print", "pprint", "rich.print", "typer.echo", "typer.secho", "click.echo", "sys.stdout.write")
        yield from (f"{source.path} calls {call}" for call, _ in source.calls if call in prints)


@rule("only storage.database commits or rolls back")
def no_commit(listing: Listing) -> Iterator[str]:
    for source in listing.of("storage", "workers"):
        if source.module == "storage.database":
            continue
        yield from (
            f"{source.path} calls {call}" for call, _ in source.calls if call.endswith((".commit", ".rollback"))
        )


@rule(f"a file has {LINES} lines at most")
def short_files(listing: Listing) -> Iterator[str]:
    for source in listing.sources:
        if source.lines > LINES:
            yield f"{source.path} has {source.lines} lines"


@rule("no circle of imports between files")
def circles(listing: Listing) -> Iterator[str]:
    """Yield each circle once; imports under `if TYPE_CHECKING` and inside functions count."""
    sources = [source for source in listing.sources if source.package != "tests" and source.module not in ENTRY_POINTS]
    imports = {source.module: listing.imports(source) & listing.modules for source in sources}
    while circle := _circle(imports):
        yield " imports ".join(circle)
        imports[circle[0]].remove(circle[1])


def _circle(imports: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


@rule("inside the runtime imports go one way: worker -> projections -> processing -> messaging")
def runtime_layers(listing: Listing) -> Iterator[str]:
    for layer, above in RUNTIME_LAYERS.items():
        forbidden = tuple(f"workers.runtime.{name}." for name in above)
        for source in listing.of(f"workers.runtime.{layer}"):
            for module in listing.imports(source):
                if f"{module}.".startswith(forbidden):
                    yield f"{source.path} imports {module}"


@rule("a log call names its event by a snake_case constant")
def log_events(listing: Listing) -> Iterator[str]:
    """Yield each log call whose event is neither a literal nor a constant of `log_events`."""
    constants = _log_event_constants(listing)
    for source in listing.sources:
        for call in source.call_nodes:
            if not (isinstance(call.func, ast.Attribute) and call.func.attr in LOG_METHODS):
                continue
            if not re.search(r"\b_?log(ger)?(\.bind\(.*\))?$", ast.unparse(call.func.value)):
                continue
            event = call.args[0] if call.args else None
            if isinstance(event, ast.Name) and LOG_EVENTS in listing.imports(source):
                value = constants.get(event.id)
            else:
                value = event.value if isinstance(event, ast.Constant) else None
            if not (isinstance(value, str) and LOG_EVENT.fullmatch(value)):
                yield f"{source.path}:{call.lineno} logs {ast.unparse(event) if event else 'no event'}"


def _log_event_constants(listing: Listing) -> dict[str, object]:
    """The constants of the module `log_events`, with their values."""
    return {
        node.targets[0].id: node.value.value
        for source in listing.sources
        if source.module == LOG_EVENTS
        for node in source.tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }


@rule("a public class name is defined once")
def class_names(listing: Listing) -> Iterator[str]:
    """Yield the public class names that more than one file defines.

    Two systems may each have a message or a request body of one name (`CancelOrder`): their topics and paths tell them
    apart. Migrations are a record of the past. A test double may have the name of the class that it replaces.
    """
    places: defaultdict[str, list[str]] = defaultdict(list)
    businesses: defaultdict[str, int] = defaultdict(int)
    for source in listing.sources:
        if source.package == "tests" or source.module.startswith("storage.migrations."):
            continue
        for name in source.public_classes:
            places[name].append(source.path)
            businesses[name] += _is_of_a_business(listing, source)
    for name, paths in places.items():
        if len(paths) > max(1, businesses[name]):
            yield f"{name} is defined in {', '.join(paths)}"


def _is_of_a_business(listing: Listing, source: Source) -> bool:
    """Tell whether a file holds the messages of one system or the bodies of its routes."""
    layer, _, name = source.module.partition(".")
    return layer in ("contracts", "gateway_api") and name.partition(".")[0] in _systems(listing)


@rule(f"a line of Python or Markdown has {COLUMNS} characters at most")
def long_lines(listing: Listing) -> Iterator[str]:
    """Yield the lines that are too long; a table row of Markdown, a single long word and a pragma cannot be wrapped."""
    for file in listing.files:
        for number, line in enumerate(file.text.splitlines(), 1):
            is_table = file.path.endswith(".md") and line.lstrip().startswith("|")
            if len(PRAGMA.sub("", line)) > COLUMNS and not is_table and " " in line.strip():
                yield f"{file.path}:{number} has {len(line)} characters"
