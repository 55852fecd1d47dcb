#include "stages/export/opencv_net.hpp"

#include <opencv2/core/utility.hpp>
#include <opencv2/dnn.hpp>

#include "pipeline/error.hpp"

namespace cifarpipe {

std::vector<float> answers_by_opencv(const std::filesystem::path& file,
                                     std::span<const float> images,
                                     const std::array<std::int64_t, 4>& shape, int threads) {
  try {
    cv::setNumThreads(threads);
    cv::dnn::Net net = cv::dnn::readNetFromONNX(file.string());
    net.setPreferableBackend(cv::dnn::DNN_BACKEND_OPENCV);
    net.setPreferableTarget(cv::dnn::DNN_TARGET_CPU);
    const std::vector<int> sizes(shape.begin(), shape.end());
    // OpenCV only reads what it is given here.
    const cv::Mat input(sizes, CV_32F, const_cast<float*>(images.data()));
    net.setInput(input, "image");
    const cv::Mat output = net.forward();
    const auto* values = output.ptr<float>();
    return {values, values + output.total()};
  } catch (const cv::Exception& e) {
    throw Error("OpenCV cannot use " + file.filename().string() + ": " + e.err);
  }
}

}  // namespace cifarpipe
