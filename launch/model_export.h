// A trained model -> one packed file, proved equal to what was trained.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "launch/model_source.h"
#include "quant/bits.h"

namespace bitlaw::launch {

struct ExportSize {
  quant::BitCount bits;  // theory
  std::uintmax_t file_bytes = 0;
  double theoretical_bytes() const { return static_cast<double>(bits.model_bits()) / 8.0; }
};

// What a proof compared.
struct VerifyReport {
  std::int64_t packed_layers = 0;
  std::int64_t packed_values = 0;
  std::int64_t other_tensors = 0;
  std::string outputs;  // what was computed by both networks, e.g. "logits [2, 130, 256]"
  ExportSize size;      // of the file
  std::string to_string() const;
};

// Packs `trained` (from a run), writes under a temporary name beside `file`, proves it equal and renames.
// Throws VerifyError after deleting the file when it is not; InputError when it cannot be written. An
// existing file is replaced.
VerifyReport export_model(const LoadedModel& trained, const std::filesystem::path& file);

// `stored` is what load_model made of an exported file; InputError when it is of a run.
//
// The proof: codes, scales and every other tensor of the file equal what packing `trained` gives, the
// dequantised weights equal the fake-quantised ones bit for bit, and the network rebuilt from the file alone
// gives the same outputs on a fixed batch. VerifyError names the first difference.
VerifyReport verify_model(const LoadedModel& trained, const LoadedModel& stored);
ExportSize export_size(const LoadedModel& stored);

}  // namespace bitlaw::launch
