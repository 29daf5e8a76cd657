#include "trainer/checkpoint/layout.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "trainer/config/scalars.h"

namespace bitlaw::trainer {

namespace {

constexpr std::string_view kStepPrefix = "step-";

// "step-00001000" -> 1000; nothing for other names, those of building folders included.
std::optional<std::int64_t> step_of_name(const std::string& name) {
  if (!name.starts_with(kStepPrefix)) {
    return std::nullopt;
  }
  const std::optional<std::int64_t> step = parse_integer(name.substr(kStepPrefix.size()));
  return step && step_folder_name(*step) == name ? step : std::nullopt;
}

}  // namespace

std::string step_folder_name(std::int64_t step) {
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "step-%08lld", static_cast<long long>(step));
  return name.data();
}

std::string part_file_name(int rank, int size) {
  std::array<char, 60> name{};
  std::snprintf(name.data(), name.size(), "rank-%05d-of-%05d.h5", rank, size);
  return name.data();
}

std::filesystem::path building_folder(const std::filesystem::path& folder, std::int64_t step,
                                      std::int64_t incarnation) {
  return folder / (step_folder_name(step) + ".tmp-" + std::to_string(incarnation));
}

FolderContent list_checkpoints(const std::filesystem::path& folder) {
  FolderContent content;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing)) {
    const std::string name = entry.path().filename().string();
    const std::optional<std::int64_t> step = step_of_name(name);
    if (step && std::filesystem::exists(entry.path() / kMarkerName)) {
      content.committed.push_back(*step);
    } else if (name.starts_with(kStepPrefix)) {
      content.unfinished.push_back(entry.path());
    }
  }
  std::sort(content.committed.begin(), content.committed.end());
  std::sort(content.unfinished.begin(), content.unfinished.end());
  return content;
}

Share share_of(std::int64_t elements, int rank, int size) {
  // Split so that neither product overflows: whole n-ths first, then the remainder.
  const std::int64_t whole = elements / size;
  const std::int64_t rest = elements % size;
  const auto bound = [&](std::int64_t r) { return whole * r + rest * r / size; };
  return {bound(rank), bound(rank + 1) - bound(rank)};
}

}  // namespace bitlaw::trainer
