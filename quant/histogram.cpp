// A histogram whose bins are the same for every tensor.
#include "quant/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace bitlaw::quant {

namespace {

constexpr int kBinsPerPower = 64;
constexpr int kLowestExponent = -32;
constexpr int kPowers = kHistogramSide / kBinsPerPower;

// Bin 0 begins at 2^-32.
int magnitude_bin(float magnitude) {
  const auto bits = std::bit_cast<std::uint32_t>(magnitude);
  const int exponent = static_cast<int>(bits >> 23) - 127;
  const int within = static_cast<int>(bits >> 17 & 63U);
  return std::min((exponent - kLowestExponent) * kBinsPerPower + within, kHistogramSide - 1);
}

double edge(int bin) {
  return std::ldexp(1.0 + static_cast<double>(bin % kBinsPerPower) / kBinsPerPower,
                    kLowestExponent + bin / kBinsPerPower);
}

static_assert(kPowers == 64);

}  // namespace

int histogram_bin(float x) {
  const float magnitude = std::abs(x);
  if (magnitude < 0x1p-32F) {
    return kHistogramSide;
  }
  const int bin = magnitude_bin(magnitude);
  return x < 0.0F ? kHistogramSide - 1 - bin : kHistogramSide + 1 + bin;
}

BinEdges histogram_edges(int bin) {
  if (bin == kHistogramSide) {
    return {};
  }
  if (bin > kHistogramSide) {
    const int side = bin - kHistogramSide - 1;
    return {edge(side), edge(side + 1)};
  }
  const int side = kHistogramSide - 1 - bin;
  return {-edge(side + 1), -edge(side)};
}

double histogram_quantile(std::span<const double> counts, double fraction) {
  const double wanted = fraction * std::accumulate(counts.begin(), counts.end(), 0.0);
  double below = 0.0;
  BinEdges last;
  for (int bin = 0; bin < kHistogramBins; ++bin) {
    const double count = counts[static_cast<std::size_t>(bin)];
    if (count == 0.0) {
      continue;
    }
    last = histogram_edges(bin);
    if (below + count >= wanted) {
      return last.lowest + (last.highest - last.lowest) * std::max(0.0, wanted - below) / count;
    }
    below += count;
  }
  return last.highest;
}

}  // namespace bitlaw::quant
