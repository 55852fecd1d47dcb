#include "stages/export/opencv_net.hpp"

#include <algorithm>
#include <opencv2/core/utility.hpp>
#include <opencv2/dnn.hpp>

#include "pipeline/error.hpp"
#include "stages/export/onnx_graph.hpp"

namespace cifarpipe {
namespace {

constexpr std::int64_t kBatch = 64;

}  // namespace

std::vector<float> answers_by_opencv(const std::string& bytes, const std::string& name,
                                     std::span<const float> images,
                                     const std::array<std::int64_t, 4>& shape, int threads) {
  try {
    cv::setNumThreads(threads);
    cv::dnn::Net net = cv::dnn::readNetFromONNX(bytes.data(), bytes.size());
    net.setPreferableBackend(cv::dnn::DNN_BACKEND_OPENCV);
    net.setPreferableTarget(cv::dnn::DNN_TARGET_CPU);
    std::vector<float> answers;
    const std::size_t image = images.size() / static_cast<std::size_t>(shape[0]);
    for (std::int64_t at = 0; at < shape[0]; at += kBatch) {
      const std::int64_t count = std::min(kBatch, shape[0] - at);
      const std::vector<int> sizes = {static_cast<int>(count), static_cast<int>(shape[1]),
                                      static_cast<int>(shape[2]), static_cast<int>(shape[3])};
      const float* begin = images.data() + static_cast<std::size_t>(at) * image;
      // OpenCV only reads what it is given here.
      net.setInput(cv::Mat(sizes, CV_32F, const_cast<float*>(begin)), kInputName);
      const cv::Mat output = net.forward();
      answers.insert(answers.end(), output.ptr<float>(), output.ptr<float>() + output.total());
    }
    return answers;
  } catch (const cv::Exception& e) {
    throw Error("OpenCV cannot use " + name + ": " + e.err);
  }
}

}  // namespace cifarpipe
