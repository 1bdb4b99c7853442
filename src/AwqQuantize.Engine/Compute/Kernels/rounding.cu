// The element-wise core of rounding in one launch each, for NVRTC. Written in what C++ and CUDA have in common: a host compiler makes
// the same functions of it, which is how tests run them. Every thread owns what it writes; sums are made in the order of the columns,
// and products and sums are not contracted, as the operations that these take the place of have it.

#define MOST_COLUMNS 128

// To float16 and back, half to even, kept away from 0 and infinity: a group's scale as the file stores it.
static __device__ float storable(float value)
{
    unsigned int bits = __float_as_uint(value), sign = bits & 0x80000000u, magnitude = bits & 0x7fffffffu;
    float rounded;
    if (magnitude >= 0x47800000u) // 65536 and more, or no number
        rounded = 65504.0f;
    else if (magnitude < 0x38800000u) // subnormal in float16: multiples of 2^-24
        rounded = rintf(__uint_as_float(magnitude) * 16777216.0f) * 5.9604644775390625e-8f;
    else
        rounded = __uint_as_float((magnitude + 0xfffu + ((magnitude >> 13) & 1u)) & 0xffffe000u);
    if (sign)
        rounded = -rounded;
    return fminf(fmaxf(rounded, 5.9604644775390625e-8f), 65504.0f);
}

static __device__ void span(float low, float high, float* scale, float* zero)
{
    low = fminf(low, 0.0f);
    high = fmaxf(high, 0.0f);
    if (high == low)
    {
        *scale = 1.0f;
        *zero = 0.0f;
        return;
    }
    *scale = storable((high - low) / 15.0f);
    *zero = fminf(fmaxf(rintf(-low / *scale), 0.0f), 15.0f);
}

static __device__ float range_loss(const float* w, const float* importance, int size, float scale, float zero)
{
    float inverse = 1.0f / scale, low = -zero, high = low + 15.0f, sum = 0.0f;
    for (int i = 0; i < size; i++)
    {
        float miss = w[i] - fminf(fmaxf(rintf(w[i] * inverse), low), high) * scale;
        sum += miss * miss * importance[i];
    }
    return sum;
}

// Scale and zero point of each group of each row; one thread a group.
// w [rows, groups * size], importance [groups * size] or null, scales and zeros [rows, groups].
extern "C" __global__ void fit(const float* w, const float* importance, long long rows, int groups, int size, float* scales, float* zeros)
{
    long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= rows * groups)
        return;
    w += at * size;
    float low = w[0], high = w[0];
    for (int i = 1; i < size; i++)
    {
        low = fminf(low, w[i]);
        high = fmaxf(high, w[i]);
    }
    float scale, zero;
    span(low, high, &scale, &zero);
    if (importance && low != high)
    {
        const float nudges[4] = {0.92f, 0.96f, 1.0f, 1.04f};
        importance += at % groups * size;
        float least = range_loss(w, importance, size, scale, zero), s, z, loss;
        for (int step = 1; step <= 9; step++)
        {
            float shrink = 1.0f - 0.04f * step;
            span(low * shrink, high * shrink, &s, &z);
            loss = range_loss(w, importance, size, s, z);
            if (loss < least)
            {
                least = loss;
                scale = s;
                zero = z;
            }
        }
        float centre = scale, around = zero;
        for (int nudge = 0; nudge < 4; nudge++)
            for (int shift = -1; shift <= 1; shift++)
            {
                if (nudge == 2 && shift == 0)
                    continue;
                s = storable(centre * nudges[nudge]);
                z = fminf(fmaxf(around + shift, 0.0f), 15.0f);
                loss = range_loss(w, importance, size, s, z);
                if (loss < least)
                {
                    least = loss;
                    scale = s;
                    zero = z;
                }
            }
    }
    scales[at] = scale;
    zeros[at] = zero;
}

// Rounds a block of columns from the last to the first, each to a target that makes up for the errors before it; one thread a row.
// targets, w, scale, zero, codes, errors, misses [width, rows]; factors [width] or null; factor: the block's corner of [n, n].
extern "C" __global__ void compensate(const float* targets, const float* w, const float* factors, const float* scale, const float* zero,
    const float* factor, long long n, int width, long long rows, float* codes, float* errors, float* misses)
{
    long long row = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows)
        return;
    float target[MOST_COLUMNS];
    for (int k = 0; k < width; k++)
        target[k] = targets[k * rows + row];
    for (int k = width - 1; k >= 0; k--)
    {
        long long at = k * rows + row;
        float own = factors ? target[k] * factors[k] : target[k], point = zero[at], grid = scale[at];
        float code = fminf(fmaxf(rintf(own * (1.0f / grid)) + point, 0.0f), 15.0f);
        float value = (code - point) * grid;
        if (factors)
            value /= factors[k];
        float error = w[at] - value;
        codes[at] = code;
        errors[at] = error;
        misses[at] = target[k] - value;
        const float* line = factor + k * n;
        for (int m = 0; m < k; m++)
            target[m] += error * line[m];
    }
}

// Improves one group of each row: its scale by least squares, then its codes one by one; one thread a row.
// centred (codes minus zero point), gradient, bent (centred times own) [rows, size]; own [size, size]; scale, zero [rows] with a stride;
// error [rows, size] with a stride between rows; gains [rows].
extern "C" __global__ void descend(float* centred, const float* gradient, const float* bent, const float* own, float* scale, const float* zero,
    long long stride, float* error, long long error_stride, int size, long long rows, int refit, double* gains)
{
    long long row = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows)
        return;
    centred += row * size;
    gradient += row * size;
    bent += row * size;
    error += row * error_stride;
    float slope[MOST_COLUMNS], grid = scale[row * stride], low = -zero[row * stride], high = low + 15.0f;
    double gain = 0.0;
    for (int i = 0; i < size; i++)
        slope[i] = gradient[i];
    if (refit)
    {
        float along = 0.0f, bend = 0.0f;
        for (int i = 0; i < size; i++)
        {
            along += centred[i] * slope[i];
            bend += centred[i] * bent[i];
        }
        if (bend > 0.0f)
        {
            float refitted = storable(fmaxf(grid - along / bend, grid * 0.5f)), step = refitted - grid;
            float change = step * along * 2.0f + step * step * bend;
            if (change < 0.0f)
            {
                gain -= change;
                for (int i = 0; i < size; i++)
                {
                    slope[i] += bent[i] * step;
                    error[i] += centred[i] * step;
                }
                grid = refitted;
                scale[row * stride] = refitted;
            }
        }
    }
    for (int pass = 0; pass < 3; pass++)
    {
        int moved = 0;
        for (int i = 0; i < size; i++)
        {
            const float* line = own + (long long)i * size;
            float code = centred[i], bend = line[i];
            float wanted = fminf(fmaxf(rintf(code - slope[i] / (grid * bend)), low), high);
            if (wanted == code)
                continue;
            float step = (wanted - code) * grid, change = (slope[i] * 2.0f + step * bend) * step;
            if (!(change < 0.0f))
                continue;
            gain -= change;
            centred[i] = wanted;
            error[i] += step;
            for (int j = 0; j < size; j++)
                slope[j] += step * line[j];
            moved = 1;
        }
        if (!moved)
            break;
    }
    gains[row] = gain;
}
