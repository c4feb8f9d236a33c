"""Rules of the house over its source; each gives what is against it, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
OF_THE_RUNTIME_FOR_THE_GATEWAY = {
    f"workers.runtime.{name}"
    for name in (
        "messaging.breaker",
        "messaging.bus",
        "messaging.envelope",
        "messaging.rpc",
        "observability.logs",
        "observability.metrics",
        "observability.tracing",
        "settings",
    )
}
OWNED = {
    "storage.journal_status": "journal",
    "storage.refunds": "payments",
    "storage.provider": "payments",
    "storage.transfers": "payments",
}
"""Modules of storage that a context has beside the one that is named like it."""
NAMES_THE_SYSTEM = {"workers.app"}
"""It starts contexts by their names, after everything else was imported."""
LINES = 400


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


@rule("the gateway knows contracts, and of the workers only how to ask")
def gateway(listing: Listing) -> Iterator[str]:
    for source in listing.of("gateway_api"):
        for module in listing.imports(source):
            if module.startswith("workers") and module not in OF_THE_RUNTIME_FOR_THE_GATEWAY:
                yield f"{source.path} imports {module}"


@rule("what the gateway uses of the runtime needs no database")
def without_database(listing: Listing) -> Iterator[str]:
    known = {source.module: source for source in listing.sources}
    reached, ahead = set[str](), [module for module in OF_THE_RUNTIME_FOR_THE_GATEWAY if module in known]
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


@rule("a context imports its own storage and anyone's contracts, never another context's storage or worker")
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


@rule("what all share knows no context")
def shared(listing: Listing) -> Iterator[str]:
    for source in listing.of("storage", "workers.runtime"):
        if _owner(listing, source.module) is not None or source.module in NAMES_THE_SYSTEM:
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


@rule("whatever lies in storage or workers belongs to a context or to all")
def nothing_astray(listing: Listing) -> Iterator[str]:
    at_home = {
        "storage",
        "workers",
        *(f"{layer}.{system}" for layer in ("storage", "workers") for system in _systems(listing)),
    }
    for source in listing.of("workers"):
        if (
            source.module.startswith("workers.runtime")
            or source.module in {"workers.app", "workers.registry", "workers.__main__"} | at_home
        ):
            continue
        if listing.context_of(source.module) is None:
            yield f"{source.path} belongs to no context of the system"


def _systems(listing: Listing) -> set[str]:
    return {context.partition(".")[0] for context in listing.contexts}


@rule("FastStream is the runtime's affair")
def faststream(listing: Listing) -> Iterator[str]:
    for source in listing.of("contracts", "storage", "workers", "gateway_api", "ops"):
        if source.module.startswith("workers.runtime."):
            continue
        yield from (
            f"{source.path} imports {module}"
            for module in listing.imports(source)
            if module.partition(".")[0] == "faststream"
        )


@rule("nobody asks through FastStream's request, which holds one lock for a whole round trip")
def no_request(listing: Listing) -> Iterator[str]:
    for source in listing.sources:
        yield from (f"{source.path} calls {call}" for call, _ in source.calls if call.endswith("broker.request"))


@rule("nothing goes through the default exchange: the right to write there is the right to write into every queue")
def no_default_exchange(listing: Listing) -> Iterator[str]:
    for source in listing.of("contracts", "storage", "workers", "gateway_api", "ops"):
        yield from (f"{source.path} calls {call}" for call, _ in source.calls if ".default_exchange" in call)


@rule("the event loop never sleeps, instants have a zone, and durations come from the monotonic clock")
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


@rule("workers log, they do not print")
def no_print(listing: Listing) -> Iterator[str]:
    for source in listing.of("contracts", "storage", "workers"):
        yield from (f"{source.path} prints" for call, _ in source.calls if call in ("print", "pprint"))


@rule("nobody commits by hand: the runtime does")
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


def against(listing: Listing) -> dict[str, list[str]]:
    """What is against each rule."""
    return {name: sorted(check(listing)) for name, check in RULES.items()}


__all__ = ["RULES", "Source", "against"]
