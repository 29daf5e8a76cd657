// Names of the files and folders of checkpoints. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace bitlaw::trainer {

inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kMarkerName = "COMMITTED";
inline constexpr const char* kLatestName = "latest";

std::string step_folder_name(std::int64_t step);  // "step-00001000"
std::string part_file_name(int rank, int size);   // "rank-00000-of-00002.h5"
// Where a checkpoint is built: its own for each start of the run, so that a rank left over from an earlier
// one cannot write into it.
std::filesystem::path building_folder(const std::filesystem::path& folder, std::int64_t step,
                                      std::int64_t incarnation);

// What the entries of a checkpoints folder are; missing folder: empty.
struct FolderContent {
  std::vector<std::int64_t> committed;            // ascending
  std::vector<std::filesystem::path> unfinished;  // step folders without a marker, and building folders
};
FolderContent list_checkpoints(const std::filesystem::path& folder);

// Elements [first, first + count) of a flattened tensor: what rank r of n writes.
struct Share {
  std::int64_t first = 0;
  std::int64_t count = 0;
};
Share share_of(std::int64_t elements, int rank, int size);

}  // namespace bitlaw::trainer
