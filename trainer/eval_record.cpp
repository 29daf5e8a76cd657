#include "trainer/eval_record.h"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <system_error>

#include "data/formats/file_io.h"

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
  const auto path = eval_record_path(run_folder, record.step);
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  data::write_text_file(path, object.dump(2) + '\n');
}

std::filesystem::path eval_record_path(const std::filesystem::path& run_folder, std::int64_t step) {
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "step-%08lld.json", static_cast<long long>(step));
  return run_folder / "eval" / name.data();
}

}  // namespace bitlaw::trainer
