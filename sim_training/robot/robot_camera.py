"""Pictures of a MuJoCo robot: bright, on a floor of soft tiles, in front of an even background.

Works on a copy of the model, so that nothing here can change the physics.
Shapes: H height and W width in pixels.
"""

import copy

import mujoco
import numpy as np
from numpy.typing import NDArray

BACKGROUND = (0.92, 0.94, 0.96)
"""RGB in [0, 1]; what is far away fades into it."""
FLOOR_TONES = (0.60, 0.72)
"""The darkest and the lightest floor tile are drawn in these greys, in [0, 1]."""
FOLLOW_SHARE = 0.15
"""Share of the distance to the robot that a free camera moves in one picture."""
MAX_GEOMS = 2000


class RobotCamera:
    """Draws one robot off screen: from the model's first camera, or a free one that follows it.

    MuJoCo chooses its renderer (MUJOCO_GL) when it is imported.
    """

    def __init__(self, model: mujoco.MjModel, height: int = 480, width: int = 640) -> None:
        self._model = _brightened(model, height, width)
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._gl = mujoco.GLContext(width, height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_150.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(self._model, maxgeom=MAX_GEOMS)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_FOG] = True
        # The background is seen from the inside.
        self._scene.flags[mujoco.mjtRndFlag.mjRND_CULL_FACE] = False
        self._options = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._has_drawn = False
        if model.ncam > 0:
            self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED.value
            self._camera.fixedcamid = 0
        self._pixels = np.empty((height, width, 3), np.uint8)

    def picture(self, data: mujoco.MjData) -> NDArray[np.uint8]:
        """Return the robot as it is in `data`, [H, W, 3]."""
        centre, radius = _bounds(self._model, data)
        if self._camera.type == mujoco.mjtCamera.mjCAMERA_FREE.value:
            self._aim(centre, radius)
        self._update_scene(data)
        if not self._has_drawn:
            # Once more: an endless floor lies around where the camera was before.
            self._update_scene(data)
            self._has_drawn = True
        self._context.fogStart, self._context.fogEnd = 6.0 * radius, 25.0 * radius
        self._context.shadowClip = 3.0 * radius
        self._add_background(centre)
        self._bring_lights(centre, radius)
        # Two robots may be drawn in turns.
        self._gl.make_current()
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._rect, self._context)
        return self._pixels[::-1].copy()  # OpenGL begins with the lowest row

    def close(self) -> None:
        """Release the OpenGL context."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()

    def _update_scene(self, data: mujoco.MjData) -> None:
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(
            self._model, data, self._options, None, self._camera, everything, self._scene
        )

    def _aim(self, centre: NDArray[np.float64], radius: float) -> None:
        if not self._has_drawn:
            self._camera.azimuth, self._camera.elevation = 90.0, -8.0
            self._camera.distance = 3.2 * radius
            self._camera.lookat[:] = centre
        self._camera.lookat[:] += FOLLOW_SHARE * (centre - self._camera.lookat)

    def _add_background(self, centre: NDArray[np.float64]) -> None:
        """Surround the scene: a model may come without a sky, which leaves it black."""
        if self._scene.ngeom >= MAX_GEOMS:
            return
        radius = 0.9 * self._model.vis.map.zfar * self._model.stat.extent
        mujoco.mjv_initGeom(
            self._scene.geoms[self._scene.ngeom],
            mujoco.mjtGeom.mjGEOM_SPHERE.value,
            np.full(3, radius),
            centre,
            np.eye(3).ravel(),
            np.array([*BACKGROUND, 1.0], np.float32),
        )
        self._scene.geoms[self._scene.ngeom].category = mujoco.mjtCatBit.mjCAT_DECOR.value
        self._scene.ngeom += 1

    def _bring_lights(self, centre: NDArray[np.float64], radius: float) -> None:
        """Move lights that shine in one direction with the robot; shadows end not far from them."""
        for light in self._scene.lights[: self._scene.nlight]:
            if light.type == mujoco.mjtLightType.mjLIGHT_DIRECTIONAL.value and not light.headlight:
                light.pos[:] = centre - 2.0 * radius * light.dir


def _bounds(model: mujoco.MjModel, data: mujoco.MjData) -> tuple[NDArray[np.float64], float]:
    """Return centre [3] and radius, both in metres, of what moves."""
    moves = model.body_weldid[model.geom_bodyid] != 0
    if not moves.any():
        return np.array(model.stat.center), float(model.stat.extent)
    positions = data.geom_xpos[moves]
    centre = (positions.min(axis=0) + positions.max(axis=0)) / 2.0
    reach = np.linalg.norm(positions - centre, axis=1) + model.geom_rbound[moves]
    return centre, float(reach.max())


def _brightened(model: mujoco.MjModel, height: int, width: int) -> mujoco.MjModel:
    """Return a copy with light from the camera and a matt floor that fades into the background."""
    bright = copy.copy(model)
    visual = bright.vis
    visual.global_.offheight, visual.global_.offwidth = height, width
    visual.quality.shadowsize = 1024  # drawn by a processor, larger ones take most of the time
    visual.headlight.active = 1
    visual.headlight.ambient[:] = 0.45
    visual.headlight.diffuse[:] = 0.45
    visual.headlight.specular[:] = 0.1
    visual.rgba.fog[:3] = BACKGROUND
    _soften_floor(bright)
    return bright


def _soften_floor(model: mujoco.MjModel) -> None:
    planes = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
    _make_endless(model, planes)
    model.geom_rgba[planes, :3] = model.geom_rgba[planes, :3].mean(axis=1, keepdims=True)
    materials = np.unique(model.geom_matid[planes])
    for material in materials[materials >= 0]:
        model.mat_reflectance[material] = 0.0
        model.mat_specular[material] = 0.0
        textures = np.unique(model.mat_texid[material])
        for texture in textures[textures >= 0]:
            start = model.tex_adr[texture]
            size = model.tex_height[texture] * model.tex_width[texture]
            texels = model.tex_data[start : start + size * model.tex_nchannel[texture]]
            low, high = FLOOR_TONES
            texels[:] = 255.0 * low + (high - low) * texels.astype(np.float64)


def _make_endless(model: mujoco.MjModel, planes: NDArray[np.bool_]) -> None:
    """Let no robot run off the end of the floor; a fast one is 40 m away within seconds."""
    for plane in np.flatnonzero(planes & (model.geom_size[:, 0] > 0.0)):
        material = model.geom_matid[plane]
        if material >= 0 and not model.mat_texuniform[material]:
            # From repetitions over the whole plane to repetitions for each metre.
            model.mat_texrepeat[material] /= 2.0 * model.geom_size[plane, :2]
            model.mat_texuniform[material] = True
        model.geom_size[plane, :2] = 0.0
