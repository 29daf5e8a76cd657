#include "data/formats/torch_globals.h"

#include <array>
#include <vector>

#include "data/formats/torch_tensors.h"

namespace bitlaw::data {

namespace {

struct Known {
  PickleGlobal global;
  TorchMeaning meaning = {};
};

constexpr Known storage(std::string_view name, DType dtype) {
  return {{"torch", name, PickleUse::value}, {TorchRole::storage, dtype}};
}

constexpr Known element_type(std::string_view name, DType dtype) {
  return {{"torch", name, PickleUse::value}, {TorchRole::dtype, dtype}};
}

constexpr std::array kKnown = {
    Known{{"collections", "OrderedDict", PickleUse::dict}},
    Known{{"argparse", "Namespace", PickleUse::object}},
    Known{{"builtins", "set", PickleUse::list}},
    Known{{"__builtin__", "set", PickleUse::list}},
    Known{{"torch", "Size", PickleUse::tuple}},
    Known{{"torch", "device", PickleUse::call}},
    Known{{"torch._utils", "_rebuild_parameter", PickleUse::argument}},
    Known{{"torch._utils", "_rebuild_tensor_v2", PickleUse::call}, {TorchRole::tensor_v2}},
    Known{{"torch._utils", "_rebuild_tensor_v3", PickleUse::call}, {TorchRole::tensor_v3}},
    Known{{"torch.storage", "UntypedStorage", PickleUse::value}, {TorchRole::untyped_storage}},
    storage("FloatStorage", DType::float32),
    storage("DoubleStorage", DType::float64),
    storage("HalfStorage", DType::float16),
    storage("BFloat16Storage", DType::bfloat16),
    storage("LongStorage", DType::int64),
    storage("IntStorage", DType::int32),
    storage("ShortStorage", DType::int16),
    storage("CharStorage", DType::int8),
    storage("ByteStorage", DType::uint8),
    storage("BoolStorage", DType::boolean),
    storage("ComplexFloatStorage", DType::complex64),
    element_type("float32", DType::float32),
    element_type("float64", DType::float64),
    element_type("float16", DType::float16),
    element_type("bfloat16", DType::bfloat16),
    element_type("int8", DType::int8),
    element_type("uint8", DType::uint8),
    element_type("int16", DType::int16),
    element_type("uint16", DType::uint16),
    element_type("int32", DType::int32),
    element_type("uint32", DType::uint32),
    element_type("int64", DType::int64),
    element_type("uint64", DType::uint64),
    element_type("bool", DType::boolean),
    element_type("float8_e4m3fn", DType::float8_e4m3fn),
    element_type("float8_e5m2", DType::float8_e5m2),
    element_type("float8_e8m0fnu", DType::float8_e8m0fnu),
    element_type("float8_e4m3fnuz", DType::float8_e4m3fnuz),
    element_type("float8_e5m2fnuz", DType::float8_e5m2fnuz),
    element_type("complex64", DType::complex64),
};

constexpr auto kGlobals = [] {
  std::array<PickleGlobal, kKnown.size()> globals{};
  for (std::size_t i = 0; i < globals.size(); ++i) {
    globals[i] = kKnown[i].global;
  }
  return globals;
}();

}  // namespace

std::span<const PickleGlobal> torch_globals() {
  return kGlobals;
}

TorchMeaning torch_meaning(std::int64_t index) {
  return kKnown.at(static_cast<std::size_t>(index)).meaning;
}

}  // namespace bitlaw::data
