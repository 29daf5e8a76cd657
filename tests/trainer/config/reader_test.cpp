#include "trainer/config/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "data/formats/input_error.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::trainer {
namespace {

using testing::AllOf;
using testing::HasSubstr;

void write(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

std::string error_of(const std::string& yaml) {
  try {
    parse_config(yaml, "run.yaml");
  } catch (const data::InputError& error) {
    return error.what();
  }
  return "";
}

std::string error_of_overrides(const std::vector<std::string>& overrides) {
  try {
    read_config({}, overrides);
  } catch (const data::InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Reader, ReadsEveryKindOfValue) {
  const RunConfig config = parse_config(
      "run: {name: a-b, seed: 7}\n"
      "quant:\n"
      "  method: lsq\n"
      "  weights: {num_bits: 3, symmetric: true, grid: half, strategy: group, group_size: 64}\n"
      "  activations: {num_bits: 8, dynamic: true}\n"
      "  ignore: [head]\n"
      "  overrides: [{match: \"*.fc2\", weights: {num_bits: 4}}, {match: x, weights: {num_bits: 8}}]\n"
      "optim: {lr: 5e-4, betas: [0.9, .95], weight_decay: 1}\n"
      "checkpoint: {async: false}\n",
      "run.yaml");
  EXPECT_EQ(config.run.name, "a-b");
  EXPECT_EQ(config.run.seed, 7);
  EXPECT_EQ(config.quant.method, quant::Method::lsq);
  EXPECT_EQ(config.quant.weights.num_bits, 3);
  EXPECT_EQ(config.quant.weights.grid, quant::Grid::half);
  EXPECT_FALSE(config.quant.weights.scale_dtype.has_value());
  ASSERT_TRUE(config.quant.activations.has_value());
  EXPECT_EQ(config.quant.activations->dynamic, true);
  EXPECT_EQ(config.quant.ignore, std::vector<std::string>{"head"});
  ASSERT_EQ(config.quant.overrides.size(), 2u);
  EXPECT_EQ(config.quant.overrides[0].match, "*.fc2");
  EXPECT_EQ(config.quant.overrides[1].weights.num_bits, 8);
  EXPECT_EQ(config.optim.lr, 5e-4);
  EXPECT_EQ(config.optim.betas, (std::vector<double>{0.9, 0.95}));
  EXPECT_EQ(config.optim.weight_decay, 1.0);
  EXPECT_FALSE(config.checkpoint.async);
}

TEST(Reader, NoneUnsetsOptionalValues) {
  const RunConfig config =
      parse_config("quant: {activations: none, weights: {num_bits: none, group_size: ~}}", "run.yaml");
  EXPECT_FALSE(config.quant.activations.has_value());
  EXPECT_FALSE(config.quant.weights.num_bits.has_value());
  EXPECT_FALSE(config.quant.weights.group_size.has_value());
}

TEST(Reader, EmptyTextAndEmptySectionsAreDefaults) {
  EXPECT_EQ(parse_config("", "run.yaml").optim.lr, OptimConfig{}.lr);
  EXPECT_EQ(parse_config("optim:\nrun: {}\n", "run.yaml").optim.lr, OptimConfig{}.lr);
}

TEST(Reader, MisspeltKeyNamesFileLineAndNearestKey) {
  const std::string message = error_of("run: {name: x}\noptim:\n  lr: 1e-3\n  weigth_decay: 0.1\n");
  EXPECT_EQ(message,
            "run.yaml:4: unknown key optim.weigth_decay [what it was meant to set would keep its default]; "
            "did you mean optim.weight_decay?");
}

TEST(Reader, KeyOfAnotherSectionIsFound) {
  EXPECT_THAT(error_of("train: {weight_decay: 0.1}"), HasSubstr("did you mean optim.weight_decay?"));
  EXPECT_THAT(error_of("scale_lr: 0.1"), HasSubstr("did you mean optim.scale_lr?"));
  EXPECT_THAT(error_of("optm: {lr: 0.1}"), HasSubstr("did you mean optim?"));
  EXPECT_THAT(error_of("quant: {overrides: [{mach: x}]}"), HasSubstr("unknown key quant.overrides.0.mach"));
}

TEST(Reader, WrongTypesAreRefused) {
  EXPECT_THAT(error_of("train: {max_steps: 5.0}"), HasSubstr("train.max_steps: '5.0' is not an integer"));
  EXPECT_THAT(error_of("train: {max_steps: \"12\"}"),
              HasSubstr("'12' (in quotes, so text) is not an integer"));
  EXPECT_THAT(error_of("optim: {lr: fast}"), HasSubstr("optim.lr: 'fast' is not a number"));
  EXPECT_THAT(error_of("optim: {lr: .nan}"), HasSubstr("is not a number"));
  EXPECT_THAT(error_of("optim: {lr: nan}"), HasSubstr("is not a number"));
  EXPECT_THAT(error_of("optim: {lr: [1]}"), HasSubstr("optim.lr: a list is not a number"));
  EXPECT_THAT(error_of("data: {flip: yes}"), HasSubstr("data.flip: 'yes' is not a truth value"));
  EXPECT_THAT(error_of("optim: {betas: 0.9}"), HasSubstr("optim.betas: '0.9' where a list is expected"));
  EXPECT_THAT(error_of("optim: {betas: 0.9}"), HasSubstr("write [0.9]"));
  EXPECT_THAT(error_of("optim: adamw"), HasSubstr("optim: 'adamw' where keys are expected"));
  EXPECT_THAT(error_of("run: {name: {a: b}}"), HasSubstr("run.name: a map is not text"));
  EXPECT_THAT(error_of("train: {max_steps: 99999999999999999999}"), HasSubstr("is not an integer"));
}

TEST(Reader, PowersOfTenAreIntegersWhereTheyAreWhole) {
  const auto steps = [](const std::string& text) {
    return parse_config("train: {max_steps: " + text + "}", "run.yaml").train.max_steps;
  };
  EXPECT_EQ(steps("1e5"), 100000);
  EXPECT_EQ(steps("2.5E3"), 2500);
  EXPECT_EQ(steps("1e+3"), 1000);
  EXPECT_EQ(parse_config("run: {seed: 1e15}", "run.yaml").run.seed, 1000000000000000);
  for (const char* text : {"1e-1", "2.5e0", "1e999", "e5", "1e"}) {
    EXPECT_THAT(error_of("train: {max_steps: " + std::string(text) + "}"),
                AllOf(HasSubstr("is not an integer"),
                      HasSubstr("write a whole number like 1000 or 1e3, 0 to 1000000000000")))
        << text;
  }
  EXPECT_THAT(error_of("train: {max_steps: 1e13}"), HasSubstr("1e13 is out of range"));
  EXPECT_THAT(error_of("run: {seed: 1e16}"),
              HasSubstr("is not an integer"));  // a double does not tell its neighbours
}

TEST(Reader, UnknownValueOfAChoiceNamesThemAll) {
  const std::string message = error_of("distill: {norm: generalized}");
  EXPECT_THAT(message, HasSubstr("run.yaml:1: distill.norm: 'generalized' is not one of naive, generalised, "
                                 "conditional, ghost"));
  EXPECT_THAT(message, HasSubstr("did you mean generalised?"));
}

TEST(Reader, ValuesOutOfRangeAreRefused) {
  EXPECT_THAT(error_of("quant: {weights: {num_bits: 9}}"),
              HasSubstr("quant.weights.num_bits: 9 is out of range"));
  EXPECT_THAT(error_of("quant: {weights: {num_bits: 9}}"), HasSubstr("give 2 to 8"));
  EXPECT_THAT(error_of("optim: {betas: [0.9, 1.5]}"), HasSubstr("optim.betas.1: 1.5 is out of range"));
  EXPECT_EQ(error_of("quant: {weights: {num_bits: 8}}"), "");
  EXPECT_EQ(error_of("quant: {weights: {num_bits: 2}}"), "");
}

TEST(Reader, AllProblemsComeAtOnce) {
  const std::string message = error_of(
      "run: {nme: x}\n"
      "optim: {lr: -1}\n"
      "distill: {loss: topkl}\n"
      "train: {max_steps: many}\n");
  EXPECT_THAT(message, HasSubstr("4 problems"));
  EXPECT_THAT(message, HasSubstr("run.yaml:1: unknown key run.nme"));
  EXPECT_THAT(message, HasSubstr("run.yaml:2: optim.lr: -1 is out of range"));
  EXPECT_THAT(message, HasSubstr("run.yaml:3: distill.loss: 'topkl' is not one of"));
  EXPECT_THAT(message, HasSubstr("run.yaml:4: train.max_steps: 'many' is not an integer"));
}

TEST(Reader, DuplicateKeysAreRefused) {
  EXPECT_THAT(error_of("optim: {lr: 1}\nrun: {name: a}\noptim: {lr: 2}\n"),
              HasSubstr("run.yaml:3: duplicate key optim, already given at run.yaml:1"));
}

TEST(Reader, BrokenYamlNamesTheLine) {
  EXPECT_THAT(error_of("run: {name: x\noptim: 3"), HasSubstr("run.yaml:2: not YAML"));
  EXPECT_THAT(error_of("- a\n- b\n"), HasSubstr("a list where sections are expected"));
  EXPECT_THAT(error_of("run: {name: a}\n---\nrun: {name: b}\n"), HasSubstr("2 YAML documents"));
}

TEST(Reader, AliasesThatGrowAreStopped) {
  std::ostringstream bomb;
  bomb << "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    bomb << "a" << i << ": &a" << i << " [*a" << i - 1;
    for (int copy = 0; copy < 9; ++copy) {
      bomb << ", *a" << i - 1;
    }
    bomb << "]\n";
  }
  EXPECT_THAT(error_of(bomb.str()), HasSubstr("too large"));
}

TEST(Reader, LaterFilesAndOverridesWin) {
  const test::TemporaryFolder folder;
  write(folder / "a.yaml", "run: {name: a, seed: 3}\noptim: {lr: 0.1, betas: [0.8, 0.9]}\n");
  write(folder / "b.yaml", "run: {name: b}\noptim: {betas: [0.5, 0.6]}\n");
  const RunConfig config =
      read_config({folder / "a.yaml", folder / "b.yaml"}, {"run.seed=5", "optim.lr=1e-4"});
  EXPECT_EQ(config.run.name, "b");
  EXPECT_EQ(config.run.seed, 5);
  EXPECT_EQ(config.optim.lr, 1e-4);
  EXPECT_EQ(config.optim.betas, (std::vector<double>{0.5, 0.6}));
}

TEST(Reader, IncludesAreReadFirstRelativeToTheFile) {
  const test::TemporaryFolder folder;
  write(folder / "base/base.yaml", "include: deeper.yaml\nrun: {name: base, seed: 2}\n");
  write(folder / "base/deeper.yaml", "run: {name: deeper, dir: there}\n");
  write(folder / "other.yaml", "optim: {lr: 0.25}\n");
  write(folder / "run.yaml", "include: [base/base.yaml, other.yaml]\nrun: {seed: 9}\n");
  const RunConfig config = read_config({folder / "run.yaml"}, {});
  EXPECT_EQ(config.run.name, "base");
  EXPECT_EQ(config.run.dir, "there");
  EXPECT_EQ(config.run.seed, 9);
  EXPECT_EQ(config.optim.lr, 0.25);
}

TEST(Reader, BadIncludesAreReportedWhereTheyStand) {
  const test::TemporaryFolder folder;
  write(folder / "loop.yaml", "run: {name: a}\ninclude: loop.yaml\n");
  write(folder / "missing.yaml", "include: nowhere.yaml\n");
  write(folder / "error.yaml", "include: wrong.yaml\n");
  write(folder / "wrong.yaml", "\n\noptim: {lrr: 1}\n");
  write(folder / "empty.yaml", "");
  const auto message = [&](const std::string& name) {
    try {
      read_config({folder / name}, {});
    } catch (const data::InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(message("loop.yaml"), HasSubstr("loop.yaml:2: include: "));
  EXPECT_THAT(message("loop.yaml"), HasSubstr("includes itself"));
  EXPECT_THAT(message("missing.yaml"), HasSubstr("missing.yaml:1: configuration file"));
  EXPECT_THAT(message("missing.yaml"), HasSubstr("nowhere.yaml cannot be read"));
  EXPECT_THAT(message("error.yaml"), HasSubstr("wrong.yaml:3: unknown key optim.lrr"));
  EXPECT_THAT(message("none.yaml"), HasSubstr("cannot be read"));
  EXPECT_THAT(message("."), HasSubstr("cannot be read"));
  EXPECT_EQ(message("empty.yaml"), "");
  EXPECT_THAT(error_of("include: a.yaml"), HasSubstr("unknown key include"));
}

TEST(Reader, OverridesReachIntoListsAndGroups) {
  const test::TemporaryFolder folder;
  write(folder / "a.yaml",
        "quant: {activations: none, overrides: [{match: a, weights: {num_bits: 4}}, {match: b}]}\n"
        "optim: {betas: [0.9, 0.95]}\n");
  const RunConfig config =
      read_config({folder / "a.yaml"},
                  {"quant.overrides.0.weights.num_bits=5", "quant.overrides.1.match='*.b'",
                   "quant.overrides.2={match: c, weights: {num_bits: 8}}", "optim.betas.1=0.99",
                   "quant.activations.num_bits=8", "quant.weights={num_bits: 3}", "quant.ignore=[head]"});
  ASSERT_EQ(config.quant.overrides.size(), 3u);
  EXPECT_EQ(config.quant.overrides[0].match, "a");
  EXPECT_EQ(config.quant.overrides[0].weights.num_bits, 5);
  EXPECT_EQ(config.quant.overrides[1].match, "*.b");
  EXPECT_EQ(config.quant.overrides[2].weights.num_bits, 8);
  EXPECT_EQ(config.optim.betas, (std::vector<double>{0.9, 0.99}));
  ASSERT_TRUE(config.quant.activations.has_value());
  EXPECT_EQ(config.quant.activations->num_bits, 8);
  EXPECT_EQ(config.quant.ignore, std::vector<std::string>{"head"});
}

TEST(Reader, BadOverridesAreReported) {
  EXPECT_THAT(error_of_overrides({"optim.lrr=1"}), HasSubstr("command line: unknown key optim.lrr"));
  EXPECT_THAT(error_of_overrides({"optim.lr"}), HasSubstr("'optim.lr' is no override"));
  EXPECT_THAT(error_of_overrides({"=3"}), HasSubstr("is no override"));
  EXPECT_THAT(error_of_overrides({"optim..lr=3"}), HasSubstr("is no override"));
  EXPECT_THAT(error_of_overrides({"optim.lr.=3"}), HasSubstr("is no override"));
  EXPECT_THAT(error_of_overrides({"optim.lr=abc"}),
              HasSubstr("command line: optim.lr: 'abc' is not a number"));
  EXPECT_THAT(error_of_overrides({"quant.overrides.3.match=a"}),
              HasSubstr("quant.overrides.3.match: no element 3"));
  EXPECT_THAT(error_of_overrides({"quant.ignore=[a"}), HasSubstr("command line, quant.ignore: not YAML"));
  EXPECT_THAT(error_of_overrides({"optim.lr=abc", "run.seed=x"}), HasSubstr("2 problems"));
}

TEST(NearestName, FindsWhatWasMeantAndNothingElse) {
  const std::vector<std::string> known = {"global_batch_size", "micro_batch_size", "max_steps", "lr",
                                          "num_bits"};
  EXPECT_EQ(nearest_name("max_step", known), "max_steps");
  EXPECT_EQ(nearest_name("maxsteps", known), "max_steps");
  EXPECT_EQ(nearest_name("NumBits", known), "num_bits");
  EXPECT_EQ(nearest_name("nmu_bits", known), "num_bits");
  EXPECT_EQ(nearest_name("lrr", known), "lr");
  EXPECT_EQ(nearest_name("global_batch", known), "global_batch_size");
  EXPECT_EQ(nearest_name("micro_batch_sise", known), "micro_batch_size");
  EXPECT_EQ(nearest_name("zebra", known), "");
  EXPECT_EQ(nearest_name("", known), "");
  EXPECT_EQ(nearest_name("x", {}), "");
}

}  // namespace
}  // namespace bitlaw::trainer
