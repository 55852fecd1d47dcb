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

# find_mlflow VERSION: an MLflow of this series (3.17, 3.1, 2.22), with what serving a model needs
# and an S3 to keep artifacts in (moto), in an environment of its own, build/mlflow-VERSION: about
# 1 GB, a minute or two. Tests that need one say where they looked; only quick builds may do without.
find_mlflow() {
  local version=$1 folder=$root/build/mlflow-$1 wanted='mlflow[auth]==3.17.2'
  local -a usable=() also=(onnx onnxruntime boto3 'moto[s3]' flask-cors)
  # The older series use what SQLAlchemy and FastAPI have no more.
  [[ $version != 3.17 ]] && wanted="mlflow[auth]~=$1.0" && also+=('sqlalchemy<2.1' 'fastapi<0.120')
  [[ -x $folder/bin/mlflow && $(cat "$folder/.ready" 2>/dev/null) == "$wanted ${also[*]}" ]] && return 0
  find_usable_pythons
  if ((${#usable[@]} == 0)); then
    install_packages python3-venv
    find_usable_pythons
    ((${#usable[@]})) || fail "MLflow for the tests needs a Python of 3.10 or newer with venv."
  fi
  rm -rf "$folder"
  run_step "mlflow-$version" "making build/mlflow-$version" watch_nothing \
    "${usable[0]}" -m venv "$folder" &&
    run_step "mlflow-$version" "installing $wanted for the tests" watch_pip \
      "$folder/bin/python" -m pip install --disable-pip-version-check --no-input \
      --progress-bar off "$wanted" "${also[@]}" &&
    write_file "$folder/.ready" "$wanted ${also[*]}" && return 0
  rm -rf "$folder"
  fail_step "mlflow-$version" "$wanted could not be installed by pip"
}
