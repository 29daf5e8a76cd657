#include "trainer/eval_record.h"

#include <array>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "data/formats/input_error.h"

namespace bitlaw::trainer {

std::string EvalRecord::to_string() const {
  return "step " + std::to_string(step) + ": validation on " + std::to_string(samples) + " samples  " +
         figures_text(figures);
}

void write_eval_record(const std::filesystem::path& run_folder, const EvalRecord& record) {
  nlohmann::ordered_json object;
  object["step"] = record.step;
  object["samples"] = record.samples;
  object["precision"] = data::enum_name(record.precision);
  object["weights"] = "model";
  for (const auto& [name, value] : record.figures) {
    object[name] = value;
  }
  const auto folder = run_folder / "eval";
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "step-%08lld.json", static_cast<long long>(record.step));
  const auto path = folder / name.data();
  const std::filesystem::path temporary = path.string() + ".tmp";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  std::ofstream out(temporary, std::ios::trunc);
  out << object.dump(2) << '\n';
  out.close();
  if (!out) {
    throw data::InputError("evaluation " + path.string() + " cannot be written", "its figures would be lost",
                           "free the disk or make the run folder writable");
  }
  std::filesystem::rename(temporary, path);
}

}  // namespace bitlaw::trainer
