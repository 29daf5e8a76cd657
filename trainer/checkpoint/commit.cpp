#include "trainer/checkpoint/commit.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>

#include "data/formats/file_io.h"
#include "trainer/checkpoint/layout.h"
#include "trainer/config/scalars.h"

namespace bitlaw::trainer {

namespace {

namespace fs = std::filesystem;

fs::path incarnation_file(const fs::path& folder) {
  return folder.parent_path() / "incarnation";
}

std::int64_t newest_incarnation(const fs::path& folder) {
  std::ifstream stream(incarnation_file(folder));
  std::int64_t number = 0;
  return stream >> number ? number : 0;
}

// Parts of another number of ranks, or half-written files, that an earlier attempt at this step has left.
void remove_strays(const fs::path& building, const Manifest& manifest) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(building, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool wanted = std::any_of(manifest.parts.begin(), manifest.parts.end(),
                                    [&](const ManifestPart& part) { return part.file == name; });
    if (!wanted) {
      fs::remove_all(entry.path(), ignored);
    }
  }
}

// Puts `building` where `target` is; afterwards `building` names what was there before, or nothing.
void exchange_folders(const fs::path& building, const fs::path& target) {
  if (::rename(building.c_str(), target.c_str()) == 0) {
    return;
  }
  const bool occupied = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR;
  if (!occupied || ::renameat2(AT_FDCWD, building.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) != 0) {
    throw data::file_error(target, "rename the finished checkpoint", errno);
  }
}

void swap_latest(const fs::path& folder, const std::string& target) {
  const fs::path link = folder / kLatestName;
  const fs::path temporary = folder / (std::string(kLatestName) + ".tmp-" + std::to_string(::getpid()));
  std::error_code error;
  fs::remove(temporary, error);
  fs::create_symlink(target, temporary, error);
  if (!error) {
    fs::rename(temporary, link, error);
  }
  if (error) {
    throw data::file_error(link, "point it to " + target, error.value());
  }
}

// Renamed first, so that a crash in the middle leaves no folder that looks like a checkpoint.
void delete_checkpoint(const fs::path& folder, std::int64_t step, std::int64_t incarnation) {
  const fs::path doomed = building_folder(folder, step, incarnation);
  std::error_code ignored;
  fs::remove_all(doomed, ignored);
  fs::rename(folder / step_folder_name(step), doomed, ignored);
  fs::remove_all(doomed, ignored);
}

}  // namespace

std::int64_t take_incarnation(const fs::path& run_folder) {
  const data::FileHandle lock(::open(run_folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.is_open() || ::flock(lock.get(), LOCK_EX) != 0) {
    throw data::file_error(run_folder, "lock it", errno);
  }
  const std::int64_t number = newest_incarnation(run_folder / "checkpoints") + 1;
  data::write_text_file(run_folder / "incarnation", std::to_string(number) + "\n");
  return number;
}

void claim_incarnation(const fs::path& folder, std::int64_t incarnation) {
  check_incarnation(folder, incarnation);
  if (newest_incarnation(folder) < incarnation) {
    data::write_text_file(incarnation_file(folder), std::to_string(incarnation) + "\n");
  }
}

void check_incarnation(const fs::path& folder, std::int64_t incarnation) {
  const std::int64_t newest = newest_incarnation(folder);
  if (newest > incarnation) {
    throw SupersededError(folder.string() + ": start " + std::to_string(newest) +
                              " of this run has taken over, this is start " + std::to_string(incarnation),
                          "two starts that write into one run would mix their checkpoints",
                          "leave this one; see who started the other");
  }
}

void commit_checkpoint(const fs::path& folder, const Manifest& manifest) {
  const fs::path building = building_folder(folder, manifest.step, manifest.incarnation);
  const std::string target = step_folder_name(manifest.step);
  const std::string text = manifest_json(manifest);
  remove_strays(building, manifest);
  data::write_text_file(building / kManifestName, text);
  data::write_text_file(building / kMarkerName, marker_text(text));
  data::sync_folder(building);
  check_incarnation(folder, manifest.incarnation);
  exchange_folders(building, folder / target);
  data::sync_folder(folder);
  swap_latest(folder, target);
  data::sync_folder(folder);
  std::error_code ignored;
  fs::remove_all(building, ignored);  // what stood at this step before
}

void prune_checkpoints(const fs::path& folder, std::int64_t newest, const Retention& retention,
                       std::int64_t incarnation) {
  std::vector<std::int64_t> steps = list_checkpoints(folder).committed;
  std::erase_if(steps, [&](std::int64_t step) { return step > newest; });
  const auto kept = static_cast<std::size_t>(std::max<std::int64_t>(retention.keep_last, 1));
  for (std::size_t i = 0; i + kept < steps.size(); ++i) {
    const bool milestone = retention.keep_every > 0 && steps[i] % retention.keep_every == 0;
    if (!milestone) {
      delete_checkpoint(folder, steps[i], incarnation);
    }
  }
}

std::vector<fs::path> set_aside_later(const fs::path& folder, std::int64_t step, std::int64_t incarnation) {
  std::vector<fs::path> names;
  for (const std::int64_t later : list_checkpoints(folder).committed) {
    if (later <= step) {
      continue;
    }
    const std::string name = step_folder_name(later);
    const fs::path aside = folder / ("left-" + std::to_string(incarnation) + "-" + name);
    std::error_code error;
    fs::rename(folder / name, aside, error);
    if (error) {
      throw data::file_error(folder / name, "rename it", error.value());
    }
    names.push_back(aside);
  }
  return names;
}

void remove_unfinished(const fs::path& folder, std::int64_t incarnation) {
  for (const fs::path& path : list_checkpoints(folder).unfinished) {
    const std::string name = path.filename().string();
    const std::size_t mark = name.find(".tmp-");
    if (mark == std::string::npos) {
      continue;  // a step folder whose marker is missing: for a person to look at
    }
    const std::optional<std::int64_t> owner = parse_integer(name.substr(mark + 5));
    if (owner && *owner <= incarnation) {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  }
}

}  // namespace bitlaw::trainer
