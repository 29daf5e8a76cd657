// One file per sub-command. Each adds its CLI11 sub-command to the program; when the user chose it, `action`
// is set, and main runs it: the value returned is the exit code. Errors are thrown (data::InputError: code 2,
// trainer::NotFiniteError, trainer::DivergedError and launch::VerifyError: 3, trainer::CommError and
// trainer::StopRequested: 75); main prints them and maps them.
//
// Results go to stdout, logs to stderr.
#pragma once

#include <functional>
#include <stdexcept>

namespace CLI {
class App;
}

namespace bitlaw::launch {

using Action = std::function<int()>;

// What was exported differs from what was trained. The program ends with code 3.
class VerifyError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

void add_data(CLI::App& app, Action& action);     // import, tokenize, inspect, verify
void add_import(CLI::App& app, Action& action);   // published weights -> a model
void add_train(CLI::App& app, Action& action);    // training and fine-tuning of any task
void add_ptq(CLI::App& app, Action& action);      // post-training quantisation
void add_eval(CLI::App& app, Action& action);     // figures of a run or an export
void add_sample(CLI::App& app, Action& action);   // pictures from a run or an export
void add_export(CLI::App& app, Action& action);   // packed file of a run
void add_convert(CLI::App& app, Action& action);  // a packed model in another container
void add_verify(CLI::App& app, Action& action);   // a packed file against its run
void add_inspect(CLI::App& app, Action& action);  // what a run or a file holds
void add_config(CLI::App& app, Action& action);   // the merged configuration, and the reference of every key

}  // namespace bitlaw::launch
