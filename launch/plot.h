// Pictures of curves: a description becomes a gnuplot script, and gnuplot a PNG. Torch-free.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace bitlaw::launch {

enum class PlotScale { linear, logarithmic };
enum class PlotMark { line, points };

struct PlotSeries {
  std::string title;
  PlotMark mark = PlotMark::line;
  std::vector<std::pair<double, double>> points;  // x, y; those that a logarithmic scale lacks are left out
};

struct Plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  PlotScale y_scale = PlotScale::linear;
  std::vector<PlotSeries> series;
};

// A script for gnuplot 5 that holds its data and writes `picture`, 1200 x 800.
std::string gnuplot_script(const Plot& plot, const std::filesystem::path& picture);

// The picture, and the script beside it with the ending .gp. InputError: gnuplot is missing or fails (the
// script is there then), the disk. One call at a time for one path.
void draw(const Plot& plot, const std::filesystem::path& picture);

}  // namespace bitlaw::launch
