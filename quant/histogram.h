// A histogram whose bins are the same for every tensor: for each sign 64 bins in each power of two from 2^-32
// to 2^32. Smaller magnitudes count as zero, larger ones in the last bin. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace bitlaw::quant {

inline constexpr int kHistogramSide = 64 * 64;  // bins of one sign
inline constexpr int kHistogramBins =
    2 * kHistogramSide + 1;  // negative ones, zero, positive ones: in order of value

int histogram_bin(float x);
struct BinEdges {
  double lowest = 0.0;
  double highest = 0.0;
};
BinEdges histogram_edges(int bin);  // both 0 for the bin of zero

// The value below which `fraction` of the counts lie, linear within a bin. counts: [kHistogramBins], not all
// zero.
double histogram_quantile(std::span<const double> counts, double fraction);

}  // namespace bitlaw::quant
