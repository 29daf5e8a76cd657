// The names that a pickle of torch.save may use. Torch-free.
#pragma once

#include <cstdint>

#include "data/formats/dtype.h"
#include "data/formats/pickle.h"

namespace bitlaw::data {

enum class TorchRole { other, tensor_v2, tensor_v3, storage, untyped_storage, dtype };

struct TorchMeaning {
  TorchRole role = TorchRole::other;
  DType dtype = DType::uint8;  // storage, dtype
};

// What entry `index` of torch_globals() stands for.
TorchMeaning torch_meaning(std::int64_t index);

}  // namespace bitlaw::data
