#!/bin/sh
# SPDX-License-Identifier: MIT
# Inside the chroot: make /opt/venv with the dependencies that pyproject.toml
# names.  The project itself is on the path through one .pth line, so that a
# change of source needs no new image.
set -eu
[ -x /opt/venv/bin/python ] || python3 -m venv /opt/venv
export PIP_FIND_LINKS=/wheels
pip="/opt/venv/bin/pip -q"
$pip install --upgrade pip wheel hatchling "setuptools>=75"
/opt/venv/bin/python - >/tmp/requirements.txt <<'EOF'
import tomllib
project = tomllib.load(open("/vagus/pyproject.toml", "rb"))["project"]
for line in project["dependencies"] + project["optional-dependencies"]["dev"]:
    print(line)
EOF
llama=$(grep '^llama-cpp-python==' /tmp/requirements.txt)
wheel=/wheels/llama_cpp_python-${llama#*==}
if ! ls "$wheel"-*.whl >/dev/null 2>&1; then
	# QEMU's TCG has AVX2 and no AVX-512: no -march=native.
	CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_OPENMP=OFF -DLLAVA_BUILD=OFF -DMTMD_BUILD=OFF" \
	CMAKE_BUILD_PARALLEL_LEVEL=2 $pip wheel --no-deps -w /tmp/built "$llama"
	cp /tmp/built/llama_cpp_python-*.whl /wheels/
fi
$pip install -r /tmp/requirements.txt
echo /vagus/agent >"$(echo /opt/venv/lib/python3*/site-packages)/vagus.pth"
cat >/opt/venv/bin/vagus <<'EOF'
#!/opt/venv/bin/python
from vagus.cli.main import main
raise SystemExit(main())
EOF
chmod 755 /opt/venv/bin/vagus
