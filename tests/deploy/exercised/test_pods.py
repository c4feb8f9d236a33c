"""Every pod of the rendered manifests starts, answers its probes, and ends within its grace period."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import httpx

from ops.deployment.contexts import name_of
from ops.deployment.manifests import Pod, quantity
from tests.deploy.exercised.container import Container
from tests.deploy.exercised.pods import Node, command, probe
from tests.support.servers import Servers
from workers.registry import CONTEXTS, worker

AT_ONCE = 10
ROUNDS = 2
"""How many liveness probes in a row each pod must pass."""


async def test_the_job_prepares_servers_that_are_empty(node: Node) -> None:
    (job,) = (pod for pod in node.manifests.pods() if not pod.is_long_running)

    for spec in job.containers:
        container = node.container(job, spec)
        assert await container.run(command(spec), node.environment(job, spec)) == 0, container.output


async def test_every_deployment_starts_is_probed_and_ends_within_its_grace_period(node: Node) -> None:
    deployments = [pod for pod in node.manifests.pods() if pod.is_long_running]
    places = asyncio.Semaphore(AT_ONCE)

    async def exercised(pod: Pod) -> str | None:
        async with places:
            return await exercise(node, pod)

    wrong = await asyncio.gather(*(exercised(pod) for pod in deployments))

    assert len(deployments) == len([*CONTEXTS, "gateway", "exporter"])
    assert [problem for problem in wrong if problem] == []


async def exercise(node: Node, pod: Pod) -> str | None:
    """Start, probe and stop a pod; return the problems."""
    (spec,) = pod.containers
    container = node.container(pod, spec)
    await container.start(command(spec), node.environment(pod, spec))
    try:
        await probe(container, spec, "startupProbe").wait_until_answered(container)
        await probe(container, spec, "readinessProbe").wait_until_answered(container)
        await lives(container, spec)
        if container.memory > quantity(spec["resources"]["requests"]["memory"]):
            return f"{pod.name} takes {container.memory / 2**20:.0f} MiB, more than it asks for"
        if open_files := list(container.open_files()):
            return f"{pod.name} writes {open_files}, which is read-only"
        return await ends(container, pod, spec)
    except TimeoutError as error:
        return f"{pod.name}: {error or 'not in time'}: {container.output}"
    finally:
        await container.kill()


async def lives(container: Container, spec: dict[str, Any]) -> None:
    alive = probe(container, spec, "livenessProbe")
    for number in range(ROUNDS):
        await asyncio.sleep(alive.period if number else 0)
        if not await alive.answers():
            raise TimeoutError("the liveness probe failed")


async def ends(container: Container, pod: Pod, spec: dict[str, Any]) -> str | None:
    """Stop as the kubelet does: wait as `preStop` says, then send SIGTERM; the grace period covers both."""
    until = time.monotonic() + pod.spec["terminationGracePeriodSeconds"]
    await asyncio.sleep(spec["lifecycle"]["preStop"]["sleep"]["seconds"])
    if not container.runs:
        return f"{pod.name} was gone before it was told to end: {container.output}"
    code, _ = await container.terminate(until - time.monotonic())
    return f"{pod.name} ended with {code}: {container.output}" if code else None


async def test_the_management_api_counts_the_queues_that_scale_a_context(node: Node, servers: Servers) -> None:
    async with httpx.AsyncClient(base_url=servers.rabbit.api_url, trust_env=False) as api:
        for context in CONTEXTS:
            scaled = node.manifests.one("ScaledObject", f"worker-{name_of(context)}")
            assert scaled is not None
            figures = scaled["spec"]["triggers"][0]["metadata"]
            page = {"page": 1, "page_size": figures["pageSize"], "use_regex": "true", "name": figures["queueName"]}
            found = (await api.get("/api/queues/%2F", params=page)).raise_for_status().json()["items"]

            assert {queue["name"] for queue in found} == set(worker(context).queues()), context
            assert all(re.fullmatch("[0-9]+", str(queue["messages"])) for queue in found if "messages" in queue)
