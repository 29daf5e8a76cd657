#include "launch/plot.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "data/formats/file_io.h"

namespace bitlaw::launch {

namespace {

// In single quotes gnuplot knows one special character, the quote, which is doubled.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    out += c == '\n' ? ' ' : c;
    if (c == '\'') {
      out += c;
    }
  }
  return out + "'";
}

bool is_drawable(const Plot& plot, const std::pair<double, double>& point) {
  return plot.y_scale == PlotScale::linear || point.second > 0.0;
}

// The exit code of gnuplot, -1 when it could not be started.
int run_gnuplot(const std::filesystem::path& script) {
  std::string name = "gnuplot";
  std::string path = script.string();
  const std::array<char*, 3> arguments = {name.data(), path.data(), nullptr};
  pid_t child = 0;
  if (::posix_spawnp(&child, "gnuplot", nullptr, nullptr, arguments.data(), environ) != 0) {
    return -1;
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) {
      return -1;
    }
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

std::string gnuplot_script(const Plot& plot, const std::filesystem::path& picture) {
  std::string text = fmt::format(
      "set terminal pngcairo size 1200,800 noenhanced font 'sans,14'\nset output {}\nset title {}\n"
      "set xlabel {}\nset ylabel {}\nset grid\nset key top right\n",
      quoted(picture.string()), quoted(plot.title), quoted(plot.x_label), quoted(plot.y_label));
  if (plot.y_scale == PlotScale::logarithmic) {
    text += "set logscale y\nset format y '%g'\n";
  }
  std::string curves;
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    const PlotSeries& series = plot.series[i];
    text += fmt::format("$series{} << END\n", i);
    for (const auto& point : series.points) {
      if (is_drawable(plot, point)) {
        text += fmt::format("{:.17g} {:.17g}\n", point.first, point.second);
      }
    }
    text += "END\n";
    curves += fmt::format("{}$series{} using 1:2 with {} title {}", i == 0 ? "plot " : ", \\\n     ", i,
                          series.mark == PlotMark::line ? std::string("lines linewidth 2")
                                                        : fmt::format("points pointtype {} pointsize 2",
                                                                      2 * i + 5),  // another shape for each
                          quoted(series.title));
  }
  return text + curves + "\n";
}

void draw(const Plot& plot, const std::filesystem::path& picture) {
  const std::filesystem::path script = std::filesystem::path(picture).replace_extension(".gp");
  data::write_text_file(script, gnuplot_script(plot, picture));
  const int code = run_gnuplot(script);
  if (code == -1 || code == 127) {
    throw data::InputError("gnuplot could not be started", "it draws " + picture.string(),
                           "install it (Debian: gnuplot-nox), then run 'gnuplot " + script.string() + "'");
  }
  if (code != 0 || !std::filesystem::is_regular_file(picture)) {
    throw data::InputError("gnuplot ended with code " + std::to_string(code),
                           picture.string() + " was not drawn",
                           "run 'gnuplot " + script.string() + "' to see why");
  }
}

}  // namespace bitlaw::launch
