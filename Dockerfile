FROM python:3.11-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/yeyak && python -m venv /tmp/tools
COPY requirements requirements
RUN /opt/yeyak/bin/pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements/runtime.txt \
 && /tmp/tools/bin/pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements/build.txt
COPY pyproject.toml ./
COPY contracts contracts
COPY storage storage
COPY workers workers
COPY gateway_api gateway_api
COPY ops ops
COPY bench bench
RUN /tmp/tools/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index --wheel-dir /tmp/wheel . \
 && /opt/yeyak/bin/pip install --no-cache-dir --no-deps --no-index /tmp/wheel/*.whl \
 && /opt/yeyak/bin/pip uninstall --yes setuptools pip

FROM python:3.11-slim-bookworm
RUN python -m pip uninstall --yes --root-user-action ignore setuptools wheel pip \
 && install -d -o 10001 -g 10001 /accounts /var/lib/yeyak
COPY --from=build /opt/yeyak /opt/yeyak
ENV PATH=/opt/yeyak/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    YEYAK_LOCAL=/tmp/yeyak
USER 10001:10001
WORKDIR /var/lib/yeyak
CMD ["yeyak", "--help"]
