#define BOOST_TEST_MODULE cifarpipe_learn
#include <boost/test/unit_test.hpp>
