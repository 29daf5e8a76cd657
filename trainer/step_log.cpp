#include "trainer/step_log.h"

#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <system_error>

#include "data/formats/input_error.h"

namespace bitlaw::trainer {

namespace {

bool belongs_to_steps_until(const std::string& line, std::int64_t step) {
  const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  return object.is_object() && object.contains("step") && object["step"].is_number_integer() &&
         object["step"].get<std::int64_t>() <= step;
}

void cut_after(const std::filesystem::path& path, std::int64_t step) {
  std::ifstream in(path);
  std::string kept;
  bool cuts = false;
  for (std::string line; std::getline(in, line);) {
    if (!in.eof() && belongs_to_steps_until(line, step)) {
      kept += line + '\n';
    } else {
      cuts = true;
    }
  }
  if (!cuts) {
    return;
  }
  data::write_text_file(path, kept);
}

}  // namespace

StepLog::StepLog(const std::filesystem::path& path, std::int64_t resumed_step) : path_(path) {
  std::error_code unreadable;
  if (std::filesystem::exists(path, unreadable)) {
    cut_after(path, resumed_step);
  }
  file_ = data::open_for_writing(path);
  size_ = data::file_size(file_, path);
}

std::string StepLog::append(const std::vector<StepLine>& lines) {
  for (const StepLine& line : lines) {
    nlohmann::ordered_json object;
    object["step"] = line.step;
    object["samples_seen"] = line.samples_seen;
    object["wall_time"] = line.wall_time;
    for (const auto& [name, value] : line.values) {
      object[name] = value;
    }
    pending_ += object.dump() + '\n';
  }
  try {
    data::write_fully(file_, std::as_bytes(std::span(pending_)), size_, path_);
  } catch (const data::InputError& error) {
    if (::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) {
      return std::string(error.what()) + "; its last line may be cut";
    }
    return error.what();
  }
  size_ += pending_.size();
  pending_.clear();
  return "";
}

}  // namespace bitlaw::trainer
