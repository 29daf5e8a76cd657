# bitlaw_options: language, warnings as errors, sanitizers; every target of ours links it.
add_library(bitlaw_options INTERFACE)
target_include_directories(bitlaw_options INTERFACE "${PROJECT_SOURCE_DIR}")
# No fused multiply-add that the source does not ask for: the same formula must give the same bits in every
# kernel variant, in the export and in the check of the export.
target_compile_options(bitlaw_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Werror -ffp-contract=off)
# GCC 12 sees an overlap, or a copy beyond the end, in "text" + std::string that is not there (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(bitlaw_options INTERFACE -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
endif()
# Files joined by CMAKE_UNITY_BUILD are not headers: their unnamed namespaces may stand in their own classes.
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(bitlaw_options INTERFACE -Wno-subobject-linkage)
endif()
if(BITLAW_SANITIZE)
  target_compile_options(bitlaw_options INTERFACE
    -fsanitize=${BITLAW_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all
    -Wno-maybe-uninitialized)  # GCC 12 sees what is not there in instrumented code
  target_link_options(bitlaw_options INTERFACE -fsanitize=${BITLAW_SANITIZE})
endif()
