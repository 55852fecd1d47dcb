# shellcheck shell=bash
# find_test_modules: what the tests read exported models with, beside the Python that libtorch came
# with. They are put into build/python, where no other environment sees them. Without them the tests
# say what they leave out.

test_modules=(numpy onnx onnxruntime safetensors)

find_test_modules() {
  local python=$torch/../../../../bin/python
  export CIFARPIPE_TEST_MODULES=$root/build/python
  [[ -x $python ]] || return 0
  has_test_modules "$python" && return 0
  rm -rf "$CIFARPIPE_TEST_MODULES"
  run_step test-modules "installing ${test_modules[*]} for the tests" watch_nothing \
    "$python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
    --target "$CIFARPIPE_TEST_MODULES" "${test_modules[@]}" &&
    has_test_modules "$python" && return 0
  rm -rf "$CIFARPIPE_TEST_MODULES"
  say "${test_modules[*]} could not be installed by pip (build/logs/test-modules.log); the tests" \
    "that read exports with them are left out"
}

has_test_modules() {
  PYTHONPATH=$CIFARPIPE_TEST_MODULES "$1" -c "import ${test_modules[*]/%/,} sys" 2>/dev/null
}
