// cuBLAS of the stand-in lies in fake_cuda.cpp as yet.
