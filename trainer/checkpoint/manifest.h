// manifest.json of a checkpoint: what its parts hold, and how to know that they are whole. Torch-free.
//
//   {"format": "bitlaw-checkpoint", "version": 1, "step": 40, "incarnation": 3, "world_size": 2,
//    "texts": {"config": "...", ...},
//    "tensors": {"model/head.weight": {"dtype": "float32", "shape": [256, 128]}, ...},
//    "parts": [{"file": "rank-00000-of-00002.h5", "bytes": 123, "checksum": "<16 hexadecimal digits>"}, ...]}
// Part r holds elements share_of(elements, r, world_size) of each flattened tensor, as a tensor of one
// dimension of the same name; a share without elements is left out. The checksum of a part is XXH64 over the
// little-endian XXH64 values of its pieces of 4 MiB. COMMITTED holds the XXH64 of manifest.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/formats/tensor_file.h"

namespace bitlaw::trainer {

struct ManifestTensor {
  data::DType dtype = data::DType::float32;
  std::vector<std::int64_t> shape;
};

struct ManifestPart {
  std::string file;
  std::int64_t bytes = 0;
  std::uint64_t checksum = 0;
};

struct Manifest {
  std::int64_t step = 0;
  std::int64_t incarnation = 0;
  std::map<std::string, std::string> texts;
  std::map<std::string, ManifestTensor> tensors;
  std::vector<ManifestPart> parts;  // by rank

  int world_size() const { return static_cast<int>(parts.size()); }
};

std::string manifest_json(const Manifest& manifest);
// What the marker must hold for this manifest.
std::string marker_text(const std::string& manifest_json);

// The manifest of a committed checkpoint. InputError: no marker, a damaged manifest, an unknown version.
Manifest read_manifest(const std::filesystem::path& checkpoint);
// InputError when a part is missing, has another size or another checksum; reads every byte.
void verify_part(const std::filesystem::path& checkpoint, const ManifestPart& part);
ManifestPart describe_part(const std::filesystem::path& file);

}  // namespace bitlaw::trainer
