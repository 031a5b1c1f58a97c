/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * What stands between the scheduler and a block whose work is Python (blocks/safe_block.py), in place of GNU Radio's
 * own block_gateway. That one asks Python at every wake-up how many items are wanted, up to seven times, and waits for
 * the interpreter's lock each time. This one answers by itself, and takes the lock when there is work. */

#include <gnuradio/block.h>
#include <gnuradio/io_signature.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <algorithm>
#include <atomic>
#include <vector>

namespace py = pybind11;

namespace {

// The items of a port: NumPy's type of one value, and the shape of an item.
struct port_type {
    py::dtype dtype;
    std::vector<ssize_t> shape;
};

class python_block : public gr::block
{
public:
    python_block(const std::string& name,
                 gr::io_signature::sptr in,
                 gr::io_signature::sptr out,
                 py::object object,
                 const py::sequence& in_types,
                 const py::sequence& out_types)
        : gr::block(name, in, out),
          d_object(new py::weakref(object)),
          d_types(new types{ read(in_types), read(out_types) })
    {
    }

    ~python_block() override
    {
        if (!Py_IsInitialized()) // what is left of Python's objects then is nobody's
            return;
        py::gil_scoped_acquire lock;
        delete d_object;
        delete d_types;
    }

    // One item on each input is enough: general_work takes what there is.
    void forecast(int, gr_vector_int& required) override { std::fill(required.begin(), required.end(), 1); }

    int general_work(int room, gr_vector_int& waiting, gr_vector_const_void_star& in, gr_vector_void_star& out) override
    {
        const int least = waiting.empty() ? room : *std::min_element(waiting.begin(), waiting.end());
        const int count = out.empty() ? least : std::min(least, room);
        if (d_only_counts) {
            consume_each(count);
            return count;
        }
        bool tagged = false;
        if (!in.empty()) {
            d_tags.clear();
            get_tags_in_window(d_tags, 0, 0, count);
            tagged = !d_tags.empty();
        }
        py::gil_scoped_acquire lock;
        const py::object object = (*d_object)();
        if (object.is_none())
            return WORK_DONE;
        py::list inputs(in.size()), outputs(out.size());
        for (size_t port = 0; port < in.size(); ++port)
            inputs[port] = items(const_cast<void*>(in[port]), d_types->in, port, count);
        for (size_t port = 0; port < out.size(); ++port)
            outputs[port] = items(out[port], d_types->out, port, count);
        const int done = object.attr("called")(inputs, outputs, least, tagged).cast<int>();
        if (done > 0 && !in.empty())
            consume_each(done);
        return done;
    }

    // A sink to which it is enough that items have come: nitems_read counts them, and Python is not asked.
    void only_count() { d_only_counts = true; }

    bool start() override { return ask("start"); }
    bool stop() override { return ask("stop"); }

    void handle_by(const pmt::pmt_t& port, const std::string& method)
    {
        set_msg_handler(port, [this, method](const pmt::pmt_t& message) {
            py::gil_scoped_acquire lock;
            const py::object object = (*d_object)();
            if (!object.is_none())
                object.attr(method.c_str())(message);
        });
    }

    // What GNU Radio's own gateway opens to Python of what is its blocks' alone
    void tag(unsigned port, uint64_t offset, const pmt::pmt_t& key, const pmt::pmt_t& value, const pmt::pmt_t& source)
    {
        add_item_tag(port, offset, key, value, source);
    }

    std::vector<gr::tag_t> window(unsigned port, uint64_t start, uint64_t end)
    {
        std::vector<gr::tag_t> tags;
        get_tags_in_window(tags, port, start, end);
        return tags;
    }

    std::vector<gr::tag_t> range(unsigned port, uint64_t start, uint64_t end)
    {
        std::vector<gr::tag_t> tags;
        get_tags_in_range(tags, port, start, end);
        return tags;
    }

    gr::logger_ptr log() const { return d_logger; }

private:
    struct types {
        std::vector<port_type> in, out;
    };

    static std::vector<port_type> read(const py::sequence& given)
    {
        std::vector<port_type> result;
        for (const auto& one : given)
            result.push_back({ py::dtype::from_args(one.attr("base").cast<py::object>()),
                               one.attr("shape").cast<std::vector<ssize_t>>() });
        return result;
    }

    // An array of the buffer itself: nothing is copied, and nobody owns it.
    static py::array items(void* data, const std::vector<port_type>& types, size_t port, int count)
    {
        const port_type& type = types[std::min(port, types.size() - 1)];
        std::vector<ssize_t> shape{ count };
        shape.insert(shape.end(), type.shape.begin(), type.shape.end());
        return py::array(type.dtype, shape, data, py::none());
    }

    bool ask(const char* method)
    {
        py::gil_scoped_acquire lock;
        const py::object object = (*d_object)();
        return object.is_none() || object.attr(method)().cast<bool>();
    }

    const py::weakref* const d_object; // of the Python block
    const types* const d_types;
    std::atomic<bool> d_only_counts{ false };
    std::vector<gr::tag_t> d_tags; // of the last call; work is called by one thread
};

} // namespace

void bind_python_block(py::module& m)
{
    py::class_<python_block, gr::block, gr::basic_block, std::shared_ptr<python_block>>(
        m,
        "python_block",
        "A block whose start, stop, called(inputs, outputs, n_waiting, tagged) and message handlers are methods of "
        "`object`, "
        "which it does not keep alive. Types: NumPy types of the items of each port, the last for all further ones.")
        .def(py::init([](const std::string& name,
                         gr::io_signature::sptr in,
                         gr::io_signature::sptr out,
                         py::object object,
                         const py::sequence& in_types,
                         const py::sequence& out_types) {
                 return gnuradio::make_block_sptr<python_block>(name, in, out, object, in_types, out_types);
             }),
             py::arg("name"),
             py::arg("in_signature"),
             py::arg("out_signature"),
             py::arg("object"),
             py::arg("in_types"),
             py::arg("out_types"))
        .def("add_item_tag",
             &python_block::tag,
             py::arg("which_output"),
             py::arg("abs_offset"),
             py::arg("key"),
             py::arg("value"),
             py::arg("srcid") = pmt::PMT_F)
        .def("get_tags_in_window",
             &python_block::window,
             py::arg("which_input"),
             py::arg("rel_start"),
             py::arg("rel_end"))
        .def(
            "get_tags_in_range", &python_block::range, py::arg("which_input"), py::arg("abs_start"), py::arg("abs_end"))
        .def_property_readonly("logger", &python_block::log)
        .def("only_count", &python_block::only_count, "Of a sink: takes all items without a call.")
        .def("set_msg_handler_pybind",
             &python_block::handle_by,
             py::arg("port"),
             py::arg("method"),
             "The method of that name handles the messages of a port.");
}
