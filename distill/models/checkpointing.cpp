// An autograd function whose backward rebuilds the graph of its part and differentiates it on the spot.
#include "distill/models/checkpointing.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace bitlaw::distill {

namespace {

using Run = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

struct Recipe : torch::CustomClassHolder {
  Run run;
  std::size_t inputs = 0;
  bool autocast = false;
};

// Restores what autocast was in the forward: backward runs with it off.
class AutocastSetting {
 public:
  AutocastSetting(at::DeviceType device, bool on)
      : device_(device), before_(at::autocast::is_autocast_enabled(device)) {
    at::autocast::set_autocast_enabled(device_, on);
  }
  ~AutocastSetting() { at::autocast::set_autocast_enabled(device_, before_); }
  AutocastSetting(const AutocastSetting&) = delete;
  AutocastSetting& operator=(const AutocastSetting&) = delete;

 private:
  at::DeviceType device_;
  bool before_;
};

at::Tensor run_again(const Recipe& recipe, const std::vector<at::Tensor>& inputs) {
  const at::AutoGradMode grad_mode(true);
  const AutocastSetting autocast(inputs.front().device().type(), recipe.autocast);
  return recipe.run(inputs);
}

class Checkpoint : public torch::autograd::Function<Checkpoint> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context,
                            const c10::intrusive_ptr<Recipe>& recipe, at::TensorList inputs_then_parameters) {
    context->saved_data["recipe"] = c10::IValue::make_capsule(recipe);
    context->save_for_backward(inputs_then_parameters.vec());
    return recipe->run({inputs_then_parameters.begin(),
                        inputs_then_parameters.begin() + static_cast<std::ptrdiff_t>(recipe->inputs)});
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto recipe = c10::static_intrusive_pointer_cast<Recipe>(context->saved_data["recipe"].toCapsule());
    std::vector<at::Tensor> sources = context->get_saved_variables();
    for (std::size_t i = 0; i < recipe->inputs; ++i)
      sources[i] = sources[i].detach().requires_grad_(sources[i].requires_grad());
    const std::vector<at::Tensor> inputs(sources.begin(),
                                         sources.begin() + static_cast<std::ptrdiff_t>(recipe->inputs));
    const at::Tensor output = run_again(*recipe, inputs);
    return gradients_of(output, gradients.at(0), sources);
  }

 private:
  static torch::autograd::variable_list gradients_of(const at::Tensor& output, const at::Tensor& gradient,
                                                     const std::vector<at::Tensor>& sources) {
    torch::autograd::variable_list wanted;
    for (const at::Tensor& source : sources)
      if (source.requires_grad()) wanted.push_back(source);
    const auto made = torch::autograd::grad({output}, wanted, {gradient}, std::nullopt, false, true);
    torch::autograd::variable_list result(1);  // of the recipe: none
    std::size_t next = 0;
    for (const at::Tensor& source : sources)
      result.push_back(source.requires_grad() ? made[next++] : at::Tensor());
    return result;
  }
};

}  // namespace

at::Tensor checkpointed(const Run& run, const std::vector<at::Tensor>& inputs,
                        const std::vector<at::Tensor>& parameters) {
  auto recipe = c10::make_intrusive<Recipe>();
  recipe->run = run;
  recipe->inputs = inputs.size();
  recipe->autocast = at::autocast::is_autocast_enabled(inputs.front().device().type());
  std::vector<at::Tensor> all = inputs;
  all.insert(all.end(), parameters.begin(), parameters.end());
  return Checkpoint::apply(recipe, at::TensorList(all));
}

}  // namespace bitlaw::distill
