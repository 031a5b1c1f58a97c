#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later

set -ex

cmake -E make_directory buildconda
cd buildconda

cmake_config_args=(
    -DCMAKE_BUILD_TYPE=Release
    -DCMAKE_INSTALL_PREFIX="$PREFIX"
    -DLIB_SUFFIX=""
    -DENABLE_DOXYGEN=OFF
    -DENABLE_TESTING=ON
)

# shellcheck disable=SC2086 # CMAKE_ARGS holds several arguments
cmake ${CMAKE_ARGS} -G "Ninja" .. "${cmake_config_args[@]}"
cmake --build . --config Release -- -j"${CPU_COUNT}"
cmake --build . --config Release --target install

if [[ "${CONDA_BUILD_CROSS_COMPILATION:-}" != "1" || "${CROSSCOMPILING_EMULATOR:-}" != "" ]]; then
    # the other tests count instructions with valgrind, of the compilers that the project is developed with
    cmake --build . --config Release --target spectrumencoder_qa_tokenizer
    ctest --build-config Release --output-on-failure --timeout 120 -R qa_
fi
