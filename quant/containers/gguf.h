// Whole models as one GGUF file. Torch-free.
//
// "<module>.weight" of a quantised layer has a block type (gguf_weight.h); an NVFP4 weight that has a global
// scale has "<module>.scale" F32 {1} beside it, as llama.cpp has. Every other tensor keeps its type; unsigned
// integers, booleans and small floats, which GGUF lacks, lie in integers of their width, and a scalar has one
// dimension: key bitlaw.tensors says what they were.
// Keys: general.architecture "bitlaw", general.quantization_version 2, the texts of travelling_texts.h,
//   bitlaw.tensors                 JSON: name -> {"dtype": ..., "shape": [...]}, only where GGUF cannot say
//   it bitlaw.zero_points.<module>    int8 array: zero points that went into the codes
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/formats/gguf_file.h"
#include "quant/containers/native.h"
#include "quant/containers/refusals.h"

namespace bitlaw::quant {

inline constexpr const char* kGgufFile = "model.gguf";

struct GgufContents {
  data::GgufHeader header;
  std::map<std::string, std::vector<std::byte>> bytes;  // by name of the tensor
};

// Layers that have no exact form are added to `refusals`; the result is then of no use. InputError for
// another tensor that GGUF cannot hold.
GgufContents make_gguf(const PackedModel& model, bool widen, Refusals& refusals);

// Anybody's file whose block types are those of gguf_blocks.h. `origin` names it in errors: InputErrors.
PackedModel read_gguf(const GgufContents& contents, const std::string& origin);

GgufContents load_gguf(const std::filesystem::path& path);
// Writes folder/model.gguf under a temporary name, reads it back, compares the model and renames. Errors
// leave nothing new.
void write_gguf_model(const std::filesystem::path& folder, const GgufContents& contents,
                      const PackedModel& model);

}  // namespace bitlaw::quant
