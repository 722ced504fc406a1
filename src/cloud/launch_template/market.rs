//! Whether instances are spot instances.

use aws_sdk_ec2::types::{
    InstanceInterruptionBehavior, LaunchTemplateInstanceMarketOptions as Options,
    LaunchTemplateInstanceMarketOptionsRequest as Request, LaunchTemplateSpotMarketOptions as Spot,
    LaunchTemplateSpotMarketOptionsRequest, MarketType, ResponseLaunchTemplateData, SpotInstanceType,
};

use crate::spec::cluster::SpotPrice;

/// Nothing where they aren't wanted. A request is for one time: Auto Scaling makes another one, and an instance that is
/// interrupted is terminated, which is what EC2 does where nothing is said (EC2 API, `SpotMarketOptions`).
pub(super) fn request(price: Option<&SpotPrice>) -> Option<Request> {
    let price = price?;
    let spot = LaunchTemplateSpotMarketOptionsRequest::builder()
        .spot_instance_type(SpotInstanceType::OneTime)
        .max_price(price.as_str());
    Some(Request::builder().market_type(MarketType::Spot).spot_options(spot.build()).build())
}

pub(super) fn read(data: &ResponseLaunchTemplateData) -> Option<SpotPrice> {
    let spot = data.instance_market_options().and_then(Options::spot_options);
    spot.and_then(Spot::max_price).and_then(SpotPrice::read)
}

/// Options that no template of ours has.
pub(super) fn drift(data: &ResponseLaunchTemplateData) -> Option<&'static str> {
    let options = data.instance_market_options()?;
    let is_known = |spot: &Spot| {
        spot.spot_instance_type().is_none_or(|kind| *kind == SpotInstanceType::OneTime)
            && spot
                .instance_interruption_behavior()
                .is_none_or(|behavior| *behavior == InstanceInterruptionBehavior::Terminate)
            && read(data).is_some()
    };
    let is_spot = options.market_type() == Some(&MarketType::Spot);
    (!is_spot || !options.spot_options().is_some_and(is_known)).then_some("market options")
}
