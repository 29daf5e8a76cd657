#include "trainer/step_log.h"

#include <nlohmann/json.hpp>

#include "data/formats/input_error.h"

namespace bitlaw::trainer {

namespace {

[[noreturn]] void throw_unwritable(const std::filesystem::path& path) {
  throw data::InputError("metrics " + path.string() + " cannot be written", "the run would leave no record",
                         "free the disk or make the run folder writable");
}

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
  const std::filesystem::path temporary = path.string() + ".tmp";
  std::ofstream out(temporary, std::ios::trunc);
  out << kept;
  out.close();
  if (!out) {
    throw_unwritable(path);
  }
  std::filesystem::rename(temporary, path);
}

}  // namespace

StepLog::StepLog(const std::filesystem::path& path, std::int64_t resumed_step) : path_(path) {
  if (std::filesystem::exists(path)) {
    cut_after(path, resumed_step);
  }
  out_.open(path, std::ios::app);
  if (!out_) {
    throw_unwritable(path_);
  }
}

void StepLog::append(const std::vector<StepLine>& lines) {
  for (const StepLine& line : lines) {
    nlohmann::ordered_json object;
    object["step"] = line.step;
    object["samples_seen"] = line.samples_seen;
    object["wall_time"] = line.wall_time;
    for (const auto& [name, value] : line.values) {
      object[name] = value;
    }
    out_ << object.dump() << '\n';
  }
  out_.flush();
  if (!out_) {
    throw_unwritable(path_);
  }
}

}  // namespace bitlaw::trainer
