#include "quant/statistics.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace bitlaw::quant {
namespace {

Statistics sample(double a, double b) {
  Statistics statistics;
  statistics.add("sum", at::tensor({a, b}));
  statistics.add("count", 1.0);
  statistics.minimum("low", at::tensor({a, b}));
  statistics.maximum("high", at::tensor({a, b}));
  return statistics;
}

TEST(Statistics, MergesByEachEntrysOperation) {
  Statistics merged = sample(1, 5);
  merged.merge(sample(2, -3));
  merged.merge(sample(-4, 0));
  EXPECT_TRUE(at::equal(merged.at("sum"), at::tensor({-1.0, 2.0}, at::kDouble)));
  EXPECT_EQ(merged.scalar("count"), 3.0);
  EXPECT_TRUE(at::equal(merged.at("low"), at::tensor({-4.0, -3.0}, at::kDouble)));
  EXPECT_TRUE(at::equal(merged.at("high"), at::tensor({2.0, 5.0}, at::kDouble)));
}

TEST(Statistics, AddingTwiceIsMerging) {
  Statistics statistics;
  statistics.add("loss", 1.5);
  statistics.add("loss", 2.25);
  EXPECT_EQ(statistics.scalar("loss"), 3.75);
}

TEST(Statistics, KeepsFloat64AndItsOwnCopy) {
  const at::Tensor value = at::tensor({0.1F});
  Statistics statistics;
  statistics.add("x", value);
  value.fill_(7);
  EXPECT_EQ(statistics.scalar("x"), static_cast<double>(0.1F));
  Statistics merged;
  merged.merge(statistics);
  merged.merge(statistics);
  EXPECT_EQ(statistics.scalar("x"), static_cast<double>(0.1F));
  EXPECT_EQ(merged.scalar("x"), 2 * static_cast<double>(0.1F));
}

TEST(Statistics, AnEmptyOneIsTheIdentity) {
  Statistics merged;
  merged.merge(sample(1, 2));
  merged.merge(Statistics());
  EXPECT_EQ(merged.scalar("count"), 1.0);
}

template <class Body>
std::string message_of(const Body& body) {
  try {
    body();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

TEST(Statistics, RefusesWhatDoesNotMatch) {
  Statistics a;
  a.add("x", at::zeros({2}));
  Statistics b;
  b.add("x", at::zeros({3}));
  EXPECT_EQ(message_of([&] { a.merge(b); }), "statistic 'x' has shape [2] here and [3] there");
  Statistics c;
  c.add("y", 1.0);
  EXPECT_EQ(message_of([&] { a.merge(c); }), "statistic 'x' is missing in what is merged");
  Statistics d = a;
  d.add("z", 1.0);
  EXPECT_EQ(message_of([&] { a.merge(d); }), "statistic 'z' is in what is merged only");
  EXPECT_EQ(message_of([&] { a.minimum("x", at::zeros({2})); }),
            "statistic 'x' is a sum here and a minimum there");
  EXPECT_EQ(message_of([&] { (void)a.at("w"); }), "there is no statistic 'w'");
  EXPECT_EQ(message_of([&] { (void)a.scalar("x"); }), "statistic 'x' has 2 values, not one");
  EXPECT_TRUE(at::equal(a.at("x"), at::zeros({2}, at::kDouble)));  // a refused merge changes nothing
}

}  // namespace
}  // namespace bitlaw::quant
